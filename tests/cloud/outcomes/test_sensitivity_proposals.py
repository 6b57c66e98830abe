"""A proposal is shown with its effect, decided by a supervisor, and then holds: at once, and after a restart."""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.cases import Refused
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Label, Outcome
from cloud.cases.sensitivity import Sensitivity, changed_rules
from cloud.outcomes import outcome_followers
from cloud.outcomes.sensitivity_proposals import approved_changes, decide, propose
from cloud.store.database import Database
from cloud.store.tables import Account, Device, RecordRow
from edge_agent.protocol.records import Phase
from tests.builders import NOON, STREAM, a_finding, an_id
from tests.cloud.web.conftest import form_token

CHANGE = Sensitivity(fault="disk.filling", open_above=0.5, debounce_s=5.0)


async def lived(
    session: AsyncSession, number: int, confidence: float, label: Label, rules: Rules | None = None
) -> None:
    """A device reports a fault with this confidence; its case, if there is one, is closed with this label."""
    service = CaseService(rules or Rules(), outcome_followers())
    name = f"unit-{number}"
    session.add(Device(device=name, first_seen=NOON, last_seen=NOON))
    await session.flush()
    for seq, (phase, at_s) in enumerate(((Phase.OPEN, 0), (Phase.UPDATE, 60), (Phase.CLEAR, 120)), 1):
        finding = a_finding(phase, at_s, finding_id=an_id(number), since_s=0).model_copy(
            update={"confidence": confidence}
        )
        at = NOON + timedelta(seconds=at_s)
        row = RecordRow(
            device=name, lane="findings", stream=STREAM, seq=seq, kind="finding", body=finding.model_dump(mode="json"),
            received_at=at,
        )  # fmt: skip
        session.add(row)
        await service.apply_finding(session, name, finding, at)
        await service.tick(session, at + timedelta(seconds=6))
    if rules is None:
        await service.staff.close(session, number, "alice", Outcome(label=label), NOON + timedelta(hours=1))


async def some_history(session: AsyncSession) -> None:
    truth = [(0.9, Label.TRUE_FAULT), (0.4, Label.TRUE_FAULT), (0.3, Label.FALSE_ALARM), (0.2, Label.FALSE_ALARM)]
    for number, (confidence, label) in enumerate(truth, 1):
        await lived(session, number, confidence, label)


async def test_a_proposal_keeps_its_effect_on_past_episodes(session: AsyncSession) -> None:
    await some_history(session)
    row = await propose(session, Rules(), CHANGE, "too many calls", "alice", NOON + timedelta(days=1))
    assert row.effect["episodes"] == 4
    assert (row.effect["opened_before"], row.effect["opened_after"]) == (4, 1)
    assert (row.effect["true_lost"], row.effect["false_avoided"], row.effect["lost_cases"]) == (1, 2, [2])
    with pytest.raises(Refused, match="Enter a reason"):
        await propose(session, Rules(), CHANGE, " ", "alice", NOON)


async def test_the_last_approved_change_of_a_fault_holds_and_a_decision_is_made_once(session: AsyncSession) -> None:
    first = await propose(session, Rules(), CHANGE, "too many calls", "alice", NOON)
    await decide(session, first.id, True, "bob", NOON)
    with pytest.raises(Refused, match="approved already"):
        await decide(session, first.id, False, "bob", NOON)
    with pytest.raises(LookupError):
        await decide(session, 99, True, "bob", NOON)
    other = Sensitivity(fault="disk.filling", open_above=0.3, debounce_s=9.0)
    second = await propose(session, Rules(), other, "too few", "alice", NOON)
    third = await propose(session, Rules(), CHANGE, "again", "alice", NOON)
    assert await approved_changes(session) == [CHANGE]
    await decide(session, second.id, True, "bob", NOON + timedelta(days=1))
    await decide(session, third.id, False, "bob", NOON + timedelta(days=1))
    assert await approved_changes(session) == [other]


async def test_an_approved_change_does_what_its_proposal_showed(session: AsyncSession) -> None:
    rules = changed_rules(Rules(), [CHANGE])
    await lived(session, 1, 0.4, Label.FALSE_ALARM, rules)
    await lived(session, 2, 0.9, Label.TRUE_FAULT, rules)
    row = await propose(session, rules, CHANGE, "check", "alice", NOON + timedelta(days=1))
    assert (row.effect["episodes"], row.effect["opened_before"]) == (2, 1)


async def test_staff_propose_and_only_a_supervisor_decides(
    alice: httpx.AsyncClient, staffed: Database, case_service: CaseService
) -> None:
    async with staffed.begin() as session:
        await some_history(session)
    page = (await alice.get("/sensitivity")).text
    form = {"form_token": form_token(page), "fault": "disk.filling", "open_above": "50", "debounce_s": "5"}
    assert (await alice.post("/sensitivity", data=form)).status_code == 409
    assert (await alice.post("/sensitivity", data=form | {"reason": "too many calls"})).status_code == 303
    page = (await alice.get("/sensitivity")).text
    assert "Of 4 episodes in the 90 days before, 1 would have opened a case instead of 4." in page
    assert "waits for a supervisor" in page
    token = {"form_token": form_token(page)}
    refused = await alice.post("/sensitivity/1/approve", data=token)
    assert refused.status_code == 403
    assert "This needs the role supervisor" in refused.text
    assert case_service.rules == Rules()
    async with staffed.begin() as session:
        await session.execute(update(Account).where(Account.name == "alice").values(role="supervisor"))
    assert (await alice.post("/sensitivity/1/approve", data=token)).status_code == 303
    assert case_service.rules.thresholds("disk.filling").open_above == 0.5
    assert "approved by alice" in (await alice.get("/sensitivity")).text
    assert (await alice.post("/sensitivity/9/approve", data=token)).status_code == 404
