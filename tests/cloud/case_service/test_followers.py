"""Followers are called for every change of a case, in its transaction."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseChange, CaseService
from cloud.cases.cases import CaseState, Label
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Outcome
from edge_agent.protocol.records import Phase
from tests.builders import DEVICE, NOON, a_finding, an_evidence

LATER = NOON + timedelta(seconds=6)


class Recorder:
    """A follower that keeps what it was called with."""

    def __init__(self) -> None:
        self.changes: list[CaseChange] = []

    async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:  # noqa: ARG002  the protocol
        self.changes.append(change)


async def test_a_follower_sees_each_change_of_a_case_with_its_timeline_and_actor(session: AsyncSession) -> None:
    recorder = Recorder()
    service = CaseService(Rules(), (recorder,))
    await service.apply_finding(session, DEVICE, a_finding(), NOON)
    await service.tick(session, LATER)
    await service.staff.take(session, 1, "alice", LATER)
    await service.staff.close(session, 1, "alice", Outcome(label=Label.EXPECTED), LATER)
    opened, taken, closed = recorder.changes
    assert (opened.before, opened.after.number, opened.after.state) == (None, 1, CaseState.NEW)
    assert [change.actor for change in recorder.changes] == ["forewarn", "alice", "alice"]
    assert taken.before == opened.after
    assert (closed.after.label, [entry.kind for entry in closed.entries]) == (Label.EXPECTED, ["closed"])


async def test_a_follower_sees_a_line_that_changes_nothing_else_and_nothing_where_nothing_changed(
    session: AsyncSession,
) -> None:
    recorder = Recorder()
    service = CaseService(Rules(), (recorder,))
    await service.apply_finding(session, DEVICE, a_finding(), NOON)
    await service.tick(session, LATER)
    await service.apply_finding(session, DEVICE, a_finding(Phase.UPDATE, 60), NOON + timedelta(seconds=60))
    assert len(recorder.changes) == 1
    await service.apply_evidence(session, DEVICE, an_evidence(), NOON + timedelta(seconds=61))
    announced = recorder.changes[-1]
    assert announced.before == announced.after
    assert [entry.kind for entry in announced.entries] == ["evidence"]
