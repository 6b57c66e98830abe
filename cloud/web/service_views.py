"""What pages show of service levels and mails, in words.

What flows in: rows and now. What flows out: frozen values, ready for the templates. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cloud.cases.service_levels import NAMES, ClockKind
from cloud.store.service_tables import CaseClock, Notification
from edge_agent.protocol.wording import duration

_MAIL_STATES = {
    "pending": "Waiting",
    "sending": "Being sent",
    "sent": "Sent",
    "failed": "Failed",
    "grouped": "Grouped",
}
_EVENTS = {
    "opened": "new case",
    "critical": "became critical",
    "reopened": "fault is back",
    "reminder": "reminder",
    "handed_over": "hand-over",
    "followed": "news after a hand-over",
    "breached": "service level missed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockView:
    """One clock of a case."""

    name: str
    side: str  # whose clock it is
    goal: str
    state: str  # running, paused, met or missed
    due_at: datetime | None
    spent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MailView:
    """One mail, with its outcome."""

    number: int
    what: str
    address: str
    state: str
    outcome: str
    reason: str
    at: datetime
    repeats: int


def clock_views(clocks: Sequence[CaseClock]) -> tuple[ClockView, ...]:
    """Return the clocks of a case in words."""
    return tuple(_clock_view(clock) for clock in clocks)


def _clock_view(clock: CaseClock) -> ClockView:
    name = NAMES[ClockKind(clock.kind)]
    hours = f" of working time ({clock.calendar})" if clock.calendar else ""
    return ClockView(
        name=name[:1].upper() + name[1:],
        side="customer clock" if clock.kind == ClockKind.CUSTOMER else "support clock",
        goal=f"within {duration(clock.goal_s)}{hours}",
        state=_state(clock),
        due_at=clock.due_at,
        spent=duration(clock.spent_s) if clock.running_since is None else "",
    )


def _state(clock: CaseClock) -> str:
    if clock.breached_at:
        return "missed"
    if clock.stopped_at:
        return "met"
    return "running" if clock.running_since else "paused"


def mail_views(rows: Sequence[Notification]) -> tuple[MailView, ...]:
    """Return mails in words."""
    return tuple(
        MailView(
            number=row.case_number,
            what=_EVENTS.get(row.event, row.event),
            address=row.address,
            state=_MAIL_STATES.get(row.state, row.state),
            outcome=row.outcome,
            reason=row.reason,
            at=row.sent_at or row.due_at,
            repeats=row.repeats,
        )
        for row in rows
    )
