"""A label is kept with all that was reported, and its device learns from it in the same transaction."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.outcomes import Advice, Cause, Label, Noticed, Outcome
from cloud.outcomes.expectations import due_messages, expected_of, mark_all_due, mark_published
from cloud.store.outcome_tables import OutcomeRow
from cloud.store.tables import CaseEntry, RecordRow
from edge_agent.protocol.records import Carrier, EvidencePart, Finding, Phase, Threshold
from tests.builders import DEVICE, NOON, STREAM, a_finding, an_evidence, an_id

FREE = "system.filesystem.usage{system.filesystem.state=free}"
LATER = NOON + timedelta(minutes=5)


def disk_finding(phase: Phase = Phase.OPEN, after_s: float = 0.0, *, left: float = 5e9) -> Finding:
    carrier = Carrier(metric=FREE, value=left, unit="By", share=1.0)
    finding = a_finding(phase, after_s, evidence_id=an_id(2))
    return finding.model_copy(update={"carriers": (carrier,)})


async def a_case(session: AsyncSession, service: CaseService, finding: Finding | None = None) -> None:
    await service.apply_finding(session, DEVICE, finding or disk_finding(), NOON)
    await service.tick(session, NOON + timedelta(seconds=6))


async def close(session: AsyncSession, service: CaseService, label: Label, number: int = 1) -> None:
    await service.staff.close(session, number, "alice", Outcome(label=label), LATER)


async def outcomes(session: AsyncSession) -> Sequence[OutcomeRow]:
    return (await session.scalars(select(OutcomeRow).order_by(OutcomeRow.id))).all()


async def test_closing_keeps_the_whole_outcome_and_reopening_withdraws_it(
    session: AsyncSession, service: CaseService
) -> None:
    await a_case(session, service)
    outcome = Outcome(
        label=Label.TRUE_FAULT,
        cause=Cause.CAPACITY,
        noticed=Noticed.NO,
        advice=Advice.WORKED,
        impact_at=NOON,
        note="card replaced",
    )
    await service.staff.close(session, 1, "alice", outcome, LATER)
    (row,) = await outcomes(session)
    assert (row.label, row.cause, row.noticed, row.advice) == ("true_fault", "capacity", "no", "worked")
    assert (row.impact_at, row.note, row.actor, row.withdrawn_at) == (NOON, "card replaced", "alice", None)
    await service.staff.reopen(session, 1, "bob", "it is back", LATER)
    await service.staff.close_again(session, 1, "bob", LATER)
    first, second = await outcomes(session)
    assert first.withdrawn_at == LATER
    assert (second.cause, second.note, second.withdrawn_at) == ("capacity", "card replaced", None)


@pytest.mark.parametrize(("label", "days"), [(Label.EXPECTED, 180), (Label.FALSE_ALARM, 30)])
async def test_what_is_closed_as_expected_or_false_is_a_message_for_its_device_alone(
    session: AsyncSession, service: CaseService, label: Label, days: int
) -> None:
    await a_case(session, service)
    await close(session, service, label)
    (message,) = await due_messages(session, LATER)
    (one,) = message.content.expected
    assert message.device == DEVICE
    assert (one.fault, one.component, one.least_left) == ("disk.filling", "/data", 5e9)
    assert one.until == LATER + timedelta(days=days)
    entry = (await session.scalars(select(CaseEntry).order_by(CaseEntry.id.desc()))).first()
    assert entry is not None
    assert entry.text.startswith("disk.filling on /data: the device opens no case for it until ")


async def test_the_lowest_headroom_is_that_of_all_updates_and_of_the_evidence(
    session: AsyncSession, service: CaseService
) -> None:
    await a_case(session, service)
    update = disk_finding(Phase.UPDATE, 60, left=4e9)
    row = RecordRow(
        device=DEVICE, lane="findings", stream=STREAM, seq=2, kind="finding", body=update.model_dump(mode="json"),
        received_at=NOON + timedelta(seconds=60),
    )  # fmt: skip
    session.add(row)
    pack = an_evidence(EvidencePart.AFTER, after_s=90, values=(4.2e9, None, 3.5e9))
    series = pack.series[0].model_copy(update={"metric": FREE})
    other = pack.series[0].model_copy(update={"metric": "hw.temperature", "values": (1.0, 1.0, 1.0)})
    limit = Threshold(metric=FREE, value=0.0, meaning="full")
    pack = pack.model_copy(update={"series": (series, other), "threshold": limit}).sealed()
    await service.apply_evidence(session, DEVICE, pack, NOON + timedelta(seconds=91))
    await close(session, service, Label.EXPECTED)
    ((one,),) = [await expected_of(session, DEVICE)]
    assert one.least_left == 3.5e9


async def test_what_goes_on_after_the_closing_extends_what_is_expected(
    session: AsyncSession, service: CaseService
) -> None:
    await a_case(session, service)
    await close(session, service, Label.EXPECTED)
    for message in await due_messages(session, LATER):
        await mark_published(session, message, LATER)
    for after_s, left, phase in ((400, 2e9, Phase.UPDATE), (500, 1.5e9, Phase.CLEAR)):
        finding = disk_finding(phase, after_s, left=left)
        body = finding.model_dump(mode="json")
        at = NOON + timedelta(seconds=after_s)
        row = RecordRow(
            device=DEVICE, lane="findings", stream=STREAM, seq=after_s, kind="finding", body=body, received_at=at
        )
        session.add(row)
        await service.apply_finding(session, DEVICE, finding, at)
    (message,) = await due_messages(session, LATER)
    assert message.content.expected[0].least_left == 1.5e9


async def test_reopening_takes_it_back_and_sends_the_device_a_message(
    session: AsyncSession, service: CaseService
) -> None:
    await a_case(session, service)
    await close(session, service, Label.EXPECTED)
    (message,) = await due_messages(session, LATER)
    await mark_published(session, message, LATER)
    assert await due_messages(session, LATER) == []
    await service.staff.reopen(session, 1, "bob", "it was not", LATER)
    (message,) = await due_messages(session, LATER)
    assert (message.version, message.content.expected) == (2, [])


async def test_a_change_during_the_publishing_stays_due_and_a_new_connection_makes_all_due(
    session: AsyncSession, service: CaseService
) -> None:
    await a_case(session, service)
    await close(session, service, Label.EXPECTED)
    (message,) = await due_messages(session, LATER)
    await service.staff.reopen(session, 1, "bob", "it was not", LATER)
    await mark_published(session, message, LATER)
    (second,) = await due_messages(session, LATER)
    await mark_published(session, second, LATER)
    assert await due_messages(session, LATER) == []
    await mark_all_due(session)
    assert len(await due_messages(session, LATER)) == 1


async def test_a_true_fault_teaches_the_device_nothing(session: AsyncSession, service: CaseService) -> None:
    await a_case(session, service)
    await close(session, service, Label.TRUE_FAULT)
    assert await due_messages(session, LATER) == []


async def test_a_fault_that_the_cloud_does_not_know_is_reported_as_usual(
    session: AsyncSession, service: CaseService
) -> None:
    await a_case(session, service, a_finding(fault="flux.capacitor", component="<script>"))
    await close(session, service, Label.EXPECTED)
    assert await due_messages(session, LATER) == []
