"""The tables of an evaluation by scenarios, as Markdown. In: outcomes. Out: a line for each family."""

from collections.abc import Mapping, Sequence

from models.report import table
from models.scenarios.families import FAULTY, LOOKALIKES, REPORTS
from models.scenarios.figures import Outcome, of_faults, of_lookalikes

LOOKALIKE_HEADS = ["look-alike", "scenarios", "case the first time", "the second time", "cases in all"]
FAULT_HEADS = ["fault", "faults", "found before impact", "precision", "lead, of onset to impact", "false cases"]
REPORT_HEADS = ["report", "cases", "the first"]


def tables(outcomes: Sequence[Outcome]) -> str:
    """Return a table for look-alikes, for faults and for public reports, and the figures of all together."""
    by_family: dict[str, list[Outcome]] = {}
    for each in outcomes:
        by_family.setdefault(each.family, []).append(each)
    parts = [
        _lookalikes(_of(by_family, LOOKALIKES)),
        _faults(_of(by_family, FAULTY)),
        _reports(_of(by_family, REPORTS)),
        _together(outcomes),
    ]
    return "\n\n".join(part for part in parts if part)


def _of(by_family: Mapping[str, list[Outcome]], names: Mapping[str, object]) -> dict[str, list[Outcome]]:
    return {family: outcomes for family, outcomes in by_family.items() if family in names}


def _lookalikes(families: Mapping[str, Sequence[Outcome]]) -> str:
    lines = []
    for family, outcomes in _and_all(families).items():
        got = of_lookalikes(outcomes)
        lines.append([family, str(got.scenarios), _share(got.first), _share(got.second), str(got.cases)])
    return table(LOOKALIKE_HEADS, lines) if lines else ""


def _faults(families: Mapping[str, Sequence[Outcome]]) -> str:
    lines = []
    for family, outcomes in _and_all(families).items():
        got = of_faults(outcomes)
        lead = "-" if got.lead is None else f"{got.lead:.2f}"
        lines.append([family, str(got.faults), _share(got.found), _share(got.precision), lead, str(got.false)])
    return table(FAULT_HEADS, lines) if lines else ""


def _reports(families: Mapping[str, Sequence[Outcome]]) -> str:
    lines = []
    for family, (got,) in families.items():
        first = got.cases[0] if got.cases else None
        lines.append([family, str(len(got.cases)), f"{first.fault}: {first.reason}" if first else "-"])
    return table(REPORT_HEADS, lines) if lines else ""


def _and_all(families: Mapping[str, Sequence[Outcome]]) -> dict[str, list[Outcome]]:
    every = {family: list(outcomes) for family, outcomes in families.items()}
    return every | {"all": [each for outcomes in every.values() for each in outcomes]} if len(every) > 1 else every


def _together(outcomes: Sequence[Outcome]) -> str:
    found = sum(lead is not None for each in outcomes for lead in each.leads)
    false = sum(each.false for each in outcomes)
    if not found + false:
        return f"{len(outcomes)} scenarios, no case."
    precision = found / (found + false)
    return f"{len(outcomes)} scenarios: {found} faults found, {false} false cases, precision {precision:.2f}."


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"
