"""Expectations of devices: stored with the label that they come from, and published to the device.

What flows in: closed and reopened cases. What flows out: what each device expects, and the retained messages that it
has not been sent yet. The change and the note that its message is due are one transaction.
"""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import SYSTEM, CaseChange
from cloud.cases import expectations
from cloud.cases.cases import EntryKind
from cloud.cases.expectations import Expected, ExpectedFault
from cloud.cases.outcomes import Label
from cloud.outcomes.headroom import seen_faults
from cloud.store.outcome_tables import ExpectationRow, ExpectedMessage
from cloud.store.tables import CaseEntry
from edge_agent.protocol.records import ExpectedTrends

_SHOWS_MORE = frozenset({EntryKind.CLEARED, EntryKind.RESOLVED, EntryKind.EVIDENCE})
AT_ONCE = 500  # messages in one round of publishing


@dataclass(frozen=True, slots=True, kw_only=True)
class DueMessage:
    """A retained message that is to be published, and the version that it then is."""

    device: str
    version: int
    content: ExpectedTrends


class ExpectationsFollower:
    """A follower of cases: labels teach devices."""

    async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:
        """Let the device of a case that was closed, reopened, or has gone on after its closing, expect the right."""
        case, kinds = change.after, {entry.kind for entry in change.entries}
        reopened = change.before is not None and change.before.label is not None and case.label is None
        if EntryKind.CLOSED not in kinds and not reopened and not (case.label and kinds & _SHOWS_MORE):
            return
        before = await expected_of(session, case.device)
        reasons: tuple[str, ...] = ()
        if case.label is None:
            after, reasons = expectations.on_reopened(before, case.number)
        else:
            seen = await seen_faults(session, case.number)
            if EntryKind.CLOSED in kinds:
                after, reasons = expectations.on_labelled(before, case.number, case.label, seen, change.now)
            else:
                after = expectations.on_seen(before, case.number, seen)
        for reason in reasons:
            session.add(_entry(case.number, reason, change.now))
        if after != before:
            await _save(session, case.device, after, change.now)


def _entry(number: int, reason: str, now: datetime) -> CaseEntry:
    return CaseEntry(case_number=number, at=now, actor=SYSTEM, kind=EntryKind.EXPECTATION, text=reason, detail={})


async def expected_of(session: AsyncSession, device: str) -> Expected:
    """Return what a device expects."""
    query = select(ExpectationRow).where(ExpectationRow.device == device).order_by(ExpectationRow.until.desc())
    return tuple(
        ExpectedFault(
            fault=row.fault,
            component=row.component,
            least_left=row.least_left,
            until=row.until,
            label=Label(row.label),
            case_number=row.case_number,
        )
        for row in await session.scalars(query)
    )


async def _save(session: AsyncSession, device: str, expected: Expected, now: datetime) -> None:
    """Replace what a device expects, and note that its message is due."""
    await session.execute(delete(ExpectationRow).where(ExpectationRow.device == device))
    if expected:
        await session.execute(insert(ExpectationRow), [{"device": device, **asdict(one)} for one in expected])
    message = await session.get(ExpectedMessage, device)
    if message is None:
        session.add(ExpectedMessage(device=device, version=1, published=0, changed_at=now))
    else:
        message.version, message.changed_at = message.version + 1, now


async def due_messages(session: AsyncSession, now: datetime) -> list[DueMessage]:
    """Return the messages that devices have not been sent."""
    query = (
        select(ExpectedMessage.device, ExpectedMessage.version)
        .where(ExpectedMessage.published < ExpectedMessage.version)
        .order_by(ExpectedMessage.changed_at)
        .limit(AT_ONCE)
    )
    return [
        DueMessage(
            device=device, version=version, content=expectations.message(await expected_of(session, device), now)
        )
        for device, version in await session.execute(query)
    ]


async def mark_published(session: AsyncSession, message: DueMessage, now: datetime) -> None:
    """Note that a message was published; what changed meanwhile stays due."""
    row = update(ExpectedMessage).where(ExpectedMessage.device == message.device)
    await session.execute(row.values(published=message.version, published_at=now))


async def mark_all_due(session: AsyncSession) -> None:
    """Publish every message again: a broker that was restarted may have forgotten what it retained."""
    await session.execute(update(ExpectedMessage).values(published=0))
