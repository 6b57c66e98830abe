"""Sensitivity proposals: other thresholds for a fault, with what they would have done, decided by a supervisor.

What flows in: what a person proposes or decides. What flows out: rows, and the changes that hold from then on.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.cases import Refused
from cloud.cases.outcomes import Label
from cloud.cases.rules import Rules
from cloud.cases.sensitivity import PastEpisode, Sensitivity, changed_rules, effect
from cloud.outcomes.episode_findings import findings_of
from cloud.store.outcome_tables import SensitivityProposal
from cloud.store.tables import Episode, SupportCase

LOOKED_BACK = timedelta(days=90)
MOST_EPISODES = 500  # the latest ones


class ProposalState(StrEnum):
    """What became of a proposal."""

    PROPOSED = "proposed"  # waits for a supervisor
    APPROVED = "approved"  # holds, unless a later one of the same fault was approved
    REJECTED = "rejected"  # does not hold


async def propose(
    session: AsyncSession, rules: Rules, change: Sensitivity, reason: str, actor: str, now: datetime
) -> SensitivityProposal:
    """Keep a proposal with its effect on the last 90 days. `rules` are those that hold now."""
    if not reason.strip():
        raise Refused("Enter a reason for the change.")
    past = await _past_episodes(session, change.fault, now - LOOKED_BACK)
    found = effect(past, rules, changed_rules(rules, [change]))
    row = SensitivityProposal(
        fault=change.fault,
        open_above=change.open_above,
        debounce_s=change.debounce_s,
        reason=reason.strip(),
        effect={**asdict(found), "lost_cases": list(found.lost_cases)},
        state=ProposalState.PROPOSED,
        proposed_by=actor,
        proposed_at=now,
    )
    session.add(row)
    await session.flush()
    return row


async def decide(session: AsyncSession, number: int, approve: bool, actor: str, now: datetime) -> None:
    """Approve or reject a proposal. Raises LookupError or Refused."""
    row = await session.get(SensitivityProposal, number, with_for_update=True)
    if row is None:
        raise LookupError(f"There is no proposal {number}.")
    if row.state != ProposalState.PROPOSED:
        raise Refused(f"Proposal {number} is {row.state} already.")
    row.state = ProposalState.APPROVED if approve else ProposalState.REJECTED
    row.decided_by, row.decided_at = actor, now


async def approved_changes(session: AsyncSession) -> list[Sensitivity]:
    """Return the changes that hold: of each fault the one that was approved last."""
    query = select(SensitivityProposal).where(SensitivityProposal.state == ProposalState.APPROVED)
    rows = await session.scalars(query.order_by(SensitivityProposal.decided_at, SensitivityProposal.id))
    latest = {row.fault: row for row in rows}
    return [
        Sensitivity(fault=row.fault, open_above=row.open_above, debounce_s=row.debounce_s) for row in latest.values()
    ]


async def proposals(session: AsyncSession) -> Sequence[SensitivityProposal]:
    """Return all proposals, the newest first."""
    return (await session.scalars(select(SensitivityProposal).order_by(SensitivityProposal.id.desc()))).all()


async def _past_episodes(session: AsyncSession, fault: str, since: datetime) -> list[PastEpisode]:
    query = (
        select(Episode, SupportCase.label)
        .outerjoin(SupportCase, SupportCase.number == Episode.case_number)
        .where(Episode.fault == fault, Episode.first_at >= since)
        .order_by(Episode.id.desc())
        .limit(MOST_EPISODES)
    )
    found = []
    for episode, label in await session.execute(query):
        findings = tuple(await findings_of(session, episode))
        if findings:
            found.append(
                PastEpisode(findings=findings, case_number=episode.case_number, label=Label(label) if label else None)
            )
    return found
