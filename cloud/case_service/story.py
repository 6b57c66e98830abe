"""Story: all that happened in a case, oldest first, each line with who did it and why.

What flows in: the number of a case. What flows out: text made of the case's timeline, of the decisions about its
episodes (also those from before the case: first findings, debounce, suppression), and of its problem's timeline.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.tables import CaseEntry, Episode, ProblemEntry, SupportCase

# Decisions that the timeline does not repeat.
_ONLY_IN_EPISODES = frozenset({"opened", "raised", "fired", "suppressed", "unexplained"})


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened."""

    at: datetime
    actor: str
    kind: str
    text: str


async def story(session: AsyncSession, number: int) -> str:
    """Return the story of a case. Raises LookupError."""
    case = await session.get(SupportCase, number)
    if case is None:
        raise LookupError(f"There is no case {number}.")
    entries = await session.scalars(select(CaseEntry).where(CaseEntry.case_number == number).order_by(CaseEntry.id))
    own = Episode.id.in_(case.merged_episodes) if case.merged_episodes else Episode.case_number == number
    episodes = await session.scalars(select(Episode).where(own).order_by(Episode.id))
    lines = [line for episode in episodes for line in _decisions(episode)]
    lines += [Line(entry.at, entry.actor, entry.kind, entry.text) for entry in entries]
    if case.problem_number is not None:
        lines += await _problem(session, case.problem_number)
    head = f"Case {number}: {case.title}\nStatus {case.state}, severity {case.severity}"
    facts = [("lane", case.lane), ("owner", case.owner), ("label", case.label), ("merged into case", case.merged_into)]
    head += "".join(f", {name} {value}" for name, value in facts if value)
    return "\n".join([harmless(head, lines=True), "", *(_written(line) for line in sorted(lines, key=_when))]) + "\n"


def harmless(text: str, *, lines: bool = False) -> str:
    """Return text of a device for a terminal: control characters and marks of direction are written out."""
    kept = "\n" if lines else ""
    return "".join(
        each if each in kept or unicodedata.category(each)[0] != "C" else f"\\u{ord(each):04x}" for each in text
    )


def _decisions(episode: Episode) -> Iterator[Line]:
    for reason in episode.reasons:
        if reason["decision"] in _ONLY_IN_EPISODES:
            text = f"{episode.fault} on {episode.component}: {reason['reason']}"
            yield Line(datetime.fromisoformat(reason["at"]), "forewarn", f"episode {reason['decision']}", text)


async def _problem(session: AsyncSession, number: int) -> list[Line]:
    query = select(ProblemEntry).where(ProblemEntry.problem_number == number).order_by(ProblemEntry.id)
    return [
        Line(entry.at, entry.actor, f"problem {entry.kind}", f"Problem {number}: {entry.text}")
        for entry in await session.scalars(query)
    ]


def _when(line: Line) -> datetime:
    return line.at


def _written(line: Line) -> str:
    return f"{line.at:%Y-%m-%d %H:%M:%S}Z  {harmless(line.actor):<10}  {line.kind:<20}  {harmless(line.text)}"
