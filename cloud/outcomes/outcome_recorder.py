"""Outcome recorder: keeps what a person reported when closing a case, and withdraws it when the case goes on."""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseChange
from cloud.cases.cases import EntryKind
from cloud.cases.outcomes import outcome_of
from cloud.store.outcome_tables import OutcomeRow


class OutcomeRecorder:
    """A follower of cases."""

    async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:
        """Add the outcome of a closing; withdraw the one before when the label is void."""
        if change.before and change.before.label and change.after.label is None:
            withdrawn = update(OutcomeRow).where(
                OutcomeRow.case_number == change.after.number, OutcomeRow.withdrawn_at.is_(None)
            )
            await session.execute(withdrawn.values(withdrawn_at=change.now))
        for entry in change.entries:
            if entry.kind is EntryKind.CLOSED:
                outcome = outcome_of(entry.detail)
                session.add(
                    OutcomeRow(
                        case_number=change.after.number,
                        label=outcome.label,
                        cause=outcome.cause,
                        noticed=outcome.noticed,
                        advice=outcome.advice,
                        impact_at=outcome.impact_at,
                        note=outcome.note,
                        actor=change.actor,
                        closed_at=change.now,
                    )
                )
