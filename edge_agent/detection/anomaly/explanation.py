"""Explanation of an anomaly: the contributing metrics, and a sentence for support agents.

What flows in: a Score and the Decision about it. What flows out: a verdict, or None.
"""

from collections.abc import Container

from edge_agent.detection.anomaly.alarm_rate import Decision
from edge_agent.detection.anomaly.scorer import Score
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import METRICS, feature_unit, series_name
from edge_agent.protocol.records import Carrier
from edge_agent.protocol.wording import metric_words, quantity, span

MOST_NAMED = 3  # in the sentence; the verdict lists all
LEAST_SHARE = 0.5  # of the anomaly: if rules and trends explain more than the rest, it is not reported
_SIGNED = frozenset({"Cel"})  # units with negative readings


def anomaly_verdict(score: Score, decision: Decision, explained: Container[str], severity: Severity) -> Verdict | None:
    """Turn an alarm into a verdict, unless a rule or a trend explains the contributing metrics already."""
    carrying = [series for series in score.shares if series not in explained]
    if not decision.active or not carrying or sum(map(score.shares.__getitem__, carrying)) < LEAST_SHARE:
        return None
    carriers = tuple(_carrier(series, score) for series in carrying)
    return Verdict(
        fault="anomaly.unknown",
        component=carrying[0],
        severity=severity,
        confidence=score.value,
        reason=f"{_sentence(carriers)}. Overall: {decision.reason}",
        carriers=carriers,
        basis=Basis(evaluated=tuple(carrying[:4])),
    )


def _carrier(series: str, score: Score) -> Carrier:
    unit, (low, high) = feature_unit(series), score.expected[series]
    if series_name(series) in METRICS and unit not in _SIGNED:
        low = max(0.0, low)
    return Carrier(
        metric=series,
        value=score.values[series],
        unit=unit,
        expected_low=min(low, high),
        expected_high=high,
        share=min(1.0, score.shares[series]),
    )


def _sentence(carriers: tuple[Carrier, ...]) -> str:
    """Describe the metrics with the largest shares, compared with this device's last week."""
    more = len(carriers) - MOST_NAMED
    clauses = [_clause(carrier) for carrier in carriers[:MOST_NAMED]]
    return "; ".join([*clauses, *([f"{more} more metrics are anomalous"] if more > 1 else [])])


def _clause(carrier: Carrier) -> str:
    low, high = carrier.expected_low, carrier.expected_high
    what, now = metric_words(carrier.metric), quantity(carrier.value, carrier.unit)
    if low is not None and high is not None and low <= carrier.value <= high:
        return f"{what} changed abruptly to {now}"
    return f"{what} is {now}, usually {span(low, high, carrier.unit)}"
