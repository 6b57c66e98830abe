"""Similar cases: closed cases that had the same fault, the most alike first, each with what it has in common. Pure.

What flows in: a case and closed cases. What flows out: those with the same fault; none if there is none, because a case
with another fault is no precedent.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cloud.cases.outcomes import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """What is compared of a case. `faults` are its faults, each with its component."""

    number: int
    device: str
    faults: frozenset[tuple[str, str]]
    model: str = ""
    firmware: str = ""
    site: str = ""
    closed_at: datetime | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A similar case, and what it has in common."""

    case: Precedent
    common: tuple[str, ...]


def similar(case: Precedent, closed: Iterable[Precedent], most: int = 5) -> tuple[Match, ...]:
    """Return the most similar closed cases: by what they have in common, then the latest first."""
    matches = [
        Match(other, common) for other in closed if other.number != case.number and (common := _common(case, other))
    ]
    matches.sort(
        key=lambda match: (len(match.common), match.case.closed_at is not None, match.case.number), reverse=True
    )
    return tuple(matches[:most])


def _common(case: Precedent, other: Precedent) -> tuple[str, ...]:
    """Return what two cases have in common, in words; nothing unless it is a fault."""
    mine, theirs = {fault for fault, _ in case.faults}, {fault for fault, _ in other.faults}
    if not mine & theirs:
        return ()
    further = {
        "device": case.device == other.device,
        "component": bool(case.faults & other.faults),
        "model": bool(case.model) and case.model == other.model,
        "firmware": bool(case.firmware) and case.firmware == other.firmware,
        "site": bool(case.site) and case.site == other.site,
    }
    return ("fault", *(name for name, same in further.items() if same))
