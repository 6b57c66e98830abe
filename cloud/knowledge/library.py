"""The library: articles as staff have edited them, how often their advice worked, and similar closed cases.

What flows in: a session and faults or a case. What flows out: values for the pages; edits become new versions, so that
an article's history stays readable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.cases import CaseState, Refused
from cloud.cases.figures import Interval, wilson
from cloud.cases.outcomes import Advice, Cause, Label, Noticed, Outcome
from cloud.cases.similar import Match, Precedent, similar
from cloud.knowledge.articles import Article, shipped_article
from cloud.store.audit import record
from cloud.store.outcome_tables import ArticleRow, OutcomeRow
from cloud.store.tables import Device, Episode, SupportCase

MOST_COMPARED = 500  # closed cases with the same fault, the latest ones


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleVersion:
    """An article as it is now: version 0 is the one that ships."""

    article: Article
    version: int = 0
    edited_by: str = ""
    edited_at: datetime | None = None
    worked: int = 0  # cases in which its advice was used and worked
    used: int = 0

    @property
    def success(self) -> Interval | None:
        """How often its advice worked, with the interval; None if it was never used."""
        return wilson(self.worked, self.used)


async def articles(session: AsyncSession, faults: Sequence[str]) -> dict[str, ArticleVersion]:
    """Return the articles of these faults, as they are now; a fault without one is left out."""
    rows = {row.fault: row for row in await session.scalars(_latest().where(ArticleRow.fault.in_(faults)))}
    counts = await _advice_counts(session, faults)
    found = {}
    for fault in faults:
        row, (worked, used) = rows.get(fault), counts.get(fault, (0, 0))
        if row:
            article = Article(fault=fault, what=row.what, confirm=row.confirm, steps=row.steps, tell=row.tell)
            found[fault] = ArticleVersion(
                article=article, version=row.version, edited_by=row.edited_by, edited_at=row.edited_at,
                worked=worked, used=used,
            )  # fmt: skip
        elif shipped := shipped_article(fault):
            found[fault] = ArticleVersion(article=shipped, worked=worked, used=used)
    return found


async def edited_faults(session: AsyncSession) -> list[str]:
    """Return the faults whose article was edited or written by staff."""
    return list(await session.scalars(select(ArticleRow.fault).distinct().order_by(ArticleRow.fault)))


async def history(session: AsyncSession, fault: str) -> list[ArticleRow]:
    """Return all versions that staff wrote of an article, the newest first."""
    query = select(ArticleRow).where(ArticleRow.fault == fault).order_by(ArticleRow.version.desc())
    return list(await session.scalars(query))


async def edit(session: AsyncSession, article: Article, version: int, actor: str, now: datetime) -> None:
    """Keep an edited article. `version` is the one that was edited. Raises Refused if there is a newer one."""
    newest = await session.scalar(select(func.max(ArticleRow.version)).where(ArticleRow.fault == article.fault)) or 0
    if newest != version:
        raise Refused("The article was edited by somebody else at the same time. Reload it and try again.")
    if article.is_empty:
        raise Refused("The article is empty.")
    before = (await articles(session, [article.fault])).get(article.fault)
    record(session, f"article {article.fault}", _texts(before.article) if before else {}, _texts(article))
    session.add(
        ArticleRow(
            fault=article.fault,
            version=version + 1,
            what=article.what.strip(),
            confirm=article.confirm.strip(),
            steps=article.steps.strip(),
            tell=article.tell.strip(),
            edited_by=actor,
            edited_at=now,
        )
    )


def _texts(article: Article) -> dict[str, str]:
    return {"what": article.what, "confirm": article.confirm, "steps": article.steps, "tell": article.tell}


async def similar_cases(session: AsyncSession, number: int) -> tuple[Match, ...]:
    """Return the closed cases that are most similar to this one; none if none had the same fault."""
    here = await _precedents(session, [number])
    faults = {fault for case in here for fault, _ in case.faults}
    query = (
        select(SupportCase.number)
        .where(
            SupportCase.state == CaseState.CLOSED,
            SupportCase.number.in_(select(Episode.case_number).where(Episode.fault.in_(faults))),
        )
        .order_by(SupportCase.closed_at.desc())
        .limit(MOST_COMPARED)
    )
    closed = await _precedents(session, list(await session.scalars(query)))
    return similar(here[0], closed) if here else ()


async def _precedents(session: AsyncSession, numbers: Sequence[int]) -> list[Precedent]:
    faults: dict[int, set[tuple[str, str]]] = {}
    query = select(Episode.case_number, Episode.fault, Episode.component).where(Episode.case_number.in_(numbers))
    for case_number, fault, component in await session.execute(query):
        faults.setdefault(case_number or 0, set()).add((fault, component))
    outcomes = select(OutcomeRow).where(OutcomeRow.case_number.in_(numbers), OutcomeRow.withdrawn_at.is_(None))
    by_case = {row.case_number: _outcome(row) for row in await session.scalars(outcomes.order_by(OutcomeRow.id))}
    cases = select(SupportCase, Device).join(Device, Device.device == SupportCase.device)
    return [
        Precedent(
            number=case.number,
            device=case.device,
            faults=frozenset(faults.get(case.number, ())),
            model=device.hardware,
            firmware=device.firmware,
            site=device.site,
            closed_at=case.closed_at,
            outcome=by_case.get(case.number) or (Outcome(label=Label(case.label)) if case.label else None),
        )
        for case, device in await session.execute(cases.where(SupportCase.number.in_(numbers)))
    ]


def _outcome(row: OutcomeRow) -> Outcome:
    return Outcome(
        label=Label(row.label),
        cause=Cause(row.cause),
        noticed=Noticed(row.noticed),
        advice=Advice(row.advice),
        impact_at=row.impact_at,
        note=row.note,
    )


def _latest() -> Select[ArticleRow]:
    newest = select(ArticleRow.fault, func.max(ArticleRow.version).label("version")).group_by(ArticleRow.fault)
    latest = newest.subquery("latest")
    return select(ArticleRow).join(
        latest, (latest.c.fault == ArticleRow.fault) & (latest.c.version == ArticleRow.version)
    )


async def _advice_counts(session: AsyncSession, faults: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return in how many cases the advice worked, and was used, by fault. A case with two faults counts for both."""
    worked = func.count(OutcomeRow.case_number.distinct()).filter(OutcomeRow.advice == Advice.WORKED)
    query = (
        select(Episode.fault, worked, func.count(OutcomeRow.case_number.distinct()))
        .join(OutcomeRow, OutcomeRow.case_number == Episode.case_number)
        .where(Episode.fault.in_(faults), OutcomeRow.withdrawn_at.is_(None), OutcomeRow.advice != Advice.NOT_USED)
        .group_by(Episode.fault)
    )
    return {fault: (worked, used) for fault, worked, used in await session.execute(query)}
