"""Explanation of a machine's anomaly: the channels that carry it, and a sentence for support agents.

What flows in: a Score and the calibration it counts in. What flows out: a verdict.
"""

import math

import numpy as np

from edge_agent.detection.machine.calibration import GROUPS, Calibration
from edge_agent.detection.machine.score import BAR, NETWORK, STUCK, Score, shares_of
from edge_agent.detection.machine.statistics import LEVELS_S, SPREAD_S, Array
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import feature_unit
from edge_agent.protocol.records import Carrier
from edge_agent.protocol.wording import duration, metric_words, quantity, span

FAULT = "machine.anomaly"
LEAST_SHARE = 0.1  # of a channel, to be named
MOST_NAMED = 3
_LEVEL = len(LEVELS_S) - 1  # the statistic that shows a level: the mean over 20 s
_SPREAD = len(LEVELS_S)
_OUTSIDE = 1.25  # units of wander: nearer, the value would be shown as one of the usual range


def machine_verdict(
    machine: str, channels: tuple[str, ...], score: Score, calibration: Calibration, reference: Array
) -> Verdict:
    """Return the verdict on a machine whose alarm is open."""
    shares = shares_of(score)
    carrying = _carrying(shares, score)
    named = [(_carrier(channels[at], at, shares[at], score, calibration, reference), at) for at in carrying]
    carriers = tuple(carrier for carrier, _ in named)
    clauses = [_clause(one, at, score) for number, (one, at) in enumerate(named) if number == 0 or _shows_outside(one)][
        :MOST_NAMED
    ]
    return Verdict(
        fault=FAULT,
        component=machine,
        confidence=confidence(score.value, calibration.certainty),
        reason=f"{'; '.join(clauses)}. {_recognised(score)}{_learned(calibration)}",
        carriers=carriers,
        basis=Basis(evaluated=tuple(channels[at] for at in carrying) or channels),
    )


def confidence(score: float, certainty: float) -> float:
    """Return the confidence: .5 at the bar, nearer to 1 further above; an unsteady healthy start halves it."""
    return (0.5 + 0.5 * certainty) * (1.0 - 0.5 / max(1.0, score))


def _carrying(shares: Array, score: Score) -> list[int]:
    """Return the places of the channels to name: the first always, others if they are visibly outside of usual."""
    first, *others = (int(place) for place in np.argsort(-shares))
    outside = np.abs(score.departures[_shown_row(score)]) >= _OUTSIDE
    return [first, *(place for place in others if shares[place] >= LEAST_SHARE and outside[place])]


def _shows_outside(carrier: Carrier) -> bool:
    """Return whether the value, rounded for people, differs from both ends of the usual range."""
    value = quantity(carrier.value, carrier.unit)
    ends = (carrier.expected_low, carrier.expected_high)
    return all(end is None or value != quantity(end, carrier.unit) for end in ends)


def _recognised(score: Score) -> str:
    if score.probability is None or score.probability < BAR:
        return ""
    return f"The trained network recognises a fault ({score.probability:.0%}). "


def _learned(calibration: Calibration) -> str:
    learned = f"Compared with a healthy start of {duration(calibration.rows)}"
    return f"{learned}, {calibration.certainty:.0%} sure that it was healthy"


def _carrier(name: str, at: int, share: float, score: Score, calibration: Calibration, reference: Array) -> Carrier:
    row, wander = _shown_row(score), calibration.wander[:, at]
    low, high = (
        _own_units(reference[row, at] + side * wander[row], row, calibration.noise[at]) for side in (-1.0, 1.0)
    )
    return Carrier(
        metric=name,
        value=float(score.statistics[row, at]),
        unit=feature_unit(name),
        expected_low=low,
        expected_high=high,
        share=float(min(1.0, share)),
    )


def _shown_row(score: Score) -> int:
    """Return the statistic that shows the group: the level, the spread, or the change from second to second."""
    return {STUCK: _SPREAD, "spread": _SPREAD, "change": _SPREAD + 1}.get(score.group, _LEVEL)


def _own_units(value: float, row: int, noise: float) -> float:
    return float(value * noise if row < len(LEVELS_S) else math.exp(value) * noise)


def _clause(carrier: Carrier, at: int, score: Score) -> str:
    what, usual = metric_words(carrier.metric), span(carrier.expected_low, carrier.expected_high, carrier.unit)
    if score.group == STUCK:
        return f"{what} has not changed for {duration(float(score.equal_s[at]))}"
    now = quantity(carrier.value, carrier.unit)
    if score.group in (GROUPS[0].name, NETWORK):
        return f"{what} is {now}, usually {usual}"
    if score.group == "spread":
        return f"{what} varies by {now} within {SPREAD_S} s, usually by {usual}"
    return f"{what} changes by {now} from second to second, usually by {usual}"
