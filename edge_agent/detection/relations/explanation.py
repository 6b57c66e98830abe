"""Explanation of a violated relation: its component, the contributing metrics, and a sentence for support agents.

What flows in: a row, and what was observed and expected of the relation over some rows. What flows out: a verdict.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_agent.detection.relations.quantities import Quantity, parts_of
from edge_agent.detection.trends.multiscale_window import Array
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import feature_unit, series_attributes
from edge_agent.protocol.records import Carrier
from edge_agent.protocol.wording import quantity

SEVERAL_DISKS = "disks"
_Q = Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Means over the same rows: an answer, the range that was expected of it, and quantities (Quantity,)."""

    answer: float
    low: float
    high: float
    found: Array
    confidence: float


@dataclass(frozen=True, slots=True)
class _Wording:
    """How a relation is described: its component in a row, an answer as the displayed quantity, and the sentence."""

    shows: Quantity
    component: Callable[[Mapping[str, float]], str]
    shown: Callable[[float, Array], float]
    words: Callable[[Observed], str]


def violated_relation(fault: str, row: Mapping[str, float], observed: Observed, component: str | None) -> Verdict:
    """Return the verdict on a violated relation. `component`: that of the previous verdict, which is kept."""
    wording = _WORDINGS[fault]
    where = component or wording.component(row)
    carriers = _contributions(wording, where, row, observed)
    return Verdict(
        fault=fault,
        component=where,
        confidence=observed.confidence,
        reason=wording.words(observed),
        carriers=carriers,
        basis=Basis(evaluated=tuple(carrier.metric for carrier in carriers)),
    )


def _contributions(wording: _Wording, where: str, row: Mapping[str, float], observed: Observed) -> tuple[Carrier, ...]:
    """Return one series with its expected range; or all disks, without expected ranges of their own."""
    parts = parts_of(row, wording.shows)
    if where == SEVERAL_DISKS:
        total = sum(row[series] for series in parts) or 1.0
        return tuple(
            Carrier(metric=series, value=row[series], unit=feature_unit(series), share=row[series] / total)
            for series in parts
        )
    series = next((one for one in parts if where in series_attributes(one).values()), parts[0])
    value, low, high = (
        wording.shown(answer, observed.found) for answer in (observed.answer, observed.low, observed.high)
    )
    unit = feature_unit(series)
    return (Carrier(metric=series, value=value, unit=unit, expected_low=low, expected_high=high, share=1.0),)


def _warmest(row: Mapping[str, float]) -> str:
    warmest = max(parts_of(row, _Q.HEAT), key=row.__getitem__)  # ties: the first by name
    return series_attributes(warmest)["hw.name"]


def _disk(row: Mapping[str, float]) -> str:
    disks = parts_of(row, _Q.BUSY)
    return series_attributes(disks[0])["system.device"] if len(disks) == 1 else SEVERAL_DISKS


def _hot(of: Observed) -> str:
    value, usual = _against(10 * of.answer, 10 * of.low, 10 * of.high)
    return f"the temperature is {value} °C, usually {usual} °C at {of.found[_Q.CPU]:.0%} CPU"


def _slow(of: Observed) -> str:
    value, usual = _against(*(1000 * 10**answer for answer in (of.answer, of.low, of.high)))
    operations = _operations(of.found)
    size = quantity((of.found[_Q.READ] + of.found[_Q.WRITTEN]) / operations, "By")
    return f"a transfer takes {value} ms, usually {usual} ms at {_short(operations)} transfers/s of {size}"


def _loaded(of: Observed) -> str:
    value, usual = _against(*map(_load, (of.answer, of.low, of.high)))
    return f"the load is {value}, usually {usual} at {of.found[_Q.CPU]:.0%} CPU"


def _operations(found: Array) -> float:
    return float(found[_Q.READS] + found[_Q.WRITES])


def _load(answer: float) -> float:
    return max(0.0, math.expm1(answer))


def _against(value: float, low: float, high: float) -> tuple[str, str]:
    """Format a value and a range that it exceeds, with enough digits to show the difference."""
    digits = next((one for one in range(3, 9) if float(f"{value:.{one}g}") > float(f"{high:.{one}g}")), 9)
    return _short(value, digits), f"{_short(low, digits)} to {_short(high, digits)}"


def _short(value: float, digits: int = 3) -> str:
    return f"{float(f'{value:.{digits}g}'):.12g}"


_WORDINGS = {
    "thermal.cooling": _Wording(_Q.HEAT, _warmest, lambda answer, _found: 10 * answer, _hot),
    "disk.slow": _Wording(_Q.BUSY, _disk, lambda answer, found: float(10**answer * _operations(found)), _slow),
    "load.unexplained": _Wording(_Q.LOAD, lambda _row: "load", lambda answer, _found: _load(answer), _loaded),
}
