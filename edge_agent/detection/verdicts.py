"""A verdict: what one judge holds true of one sample. Findings are made of verdicts that last."""

from dataclasses import dataclass

from edge_agent.detection.windows import Array
from edge_agent.protocol.records import Carrier, Impact, Line, Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a verdict rests on, for the evidence pack.

    `judged` are the series whose full-rate readings prove it; `window` are the points (uptime, value) that a trend was
    read from, where these reach further back than full-rate readings are kept.
    """

    judged: tuple[str, ...]
    threshold: Threshold | None = None
    line: Line | None = None
    window: tuple[Array, Array] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """This fault on this component, now: how sure (0..1), in how many seconds it hurts, why in words."""

    fault: str
    component: str
    confidence: float
    reason: str
    basis: Basis
    impact: Impact | None = None
    carriers: tuple[Carrier, ...] = ()
