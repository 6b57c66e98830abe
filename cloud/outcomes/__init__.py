"""Outcomes: what follows from a case being opened and closed.

What flows in: changes of cases, in their transaction, and timelines. What flows out: the outcome that staff reported,
what its device expects from now on, and the evidence that the case was opened on.
"""

from cloud.case_service import CaseFollower
from cloud.outcomes.expectations import ExpectationsFollower
from cloud.outcomes.outcome_recorder import OutcomeRecorder


def outcome_followers() -> tuple[CaseFollower, ...]:
    """Return the followers that a case service needs for its labels to teach."""
    return OutcomeRecorder(), ExpectationsFollower()
