"""A verdict: what one detector concludes from one sample. Findings are made of verdicts that last."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.protocol.faults import DetectorKind, Severity
from edge_agent.protocol.records import Carrier, Finding, Impact, Line, Threshold

Array = npt.NDArray[np.float64]

_NETWORK = "/"
_NOT_EVALUATED = ". Not evaluated now: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The basis of a verdict, for the evidence pack.

    `evaluated` are the series whose full-rate readings prove it. `window` are the points (uptime in seconds, value) of
    a trend, where these reach further back than full-rate readings are kept. `explained` are further series that this
    fault moves: the anomaly detector does not report them as well.
    """

    evaluated: tuple[str, ...]
    threshold: Threshold | None = None
    line: Line | None = None
    window: tuple[Array, Array] | None = None
    explained: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A fault of a component, now, with confidence (0..1), time to impact, and reason.

    `severity` is set if it differs from that of the fault catalogue. `not_evaluated`: why its detector can't evaluate
    it now, so that it stays as it was; a change of it is published. `network`: the one that the confidence is from, if
    any; the finding names it in the version of its detector.
    """

    fault: str
    component: str
    confidence: float
    reason: str
    basis: Basis
    impact: Impact | None = None
    severity: Severity | None = None
    carriers: tuple[Carrier, ...] = ()
    not_evaluated: str = ""
    network: str = ""


def published_reason(verdict: Verdict) -> str:
    """Return the reason as people read it."""
    return f"{verdict.reason}{_NOT_EVALUATED}{verdict.not_evaluated}" if verdict.not_evaluated else verdict.reason


def published_version(verdict: Verdict, detector: str) -> str:
    """Return the version of a detector, with the network that the confidence is from: trends-4/persistence-2."""
    return f"{detector}{_NETWORK}{verdict.network}" if verdict.network else detector


def resumed_verdict(finding: Finding) -> Verdict:
    """Return the verdict of a finding that was open when the agent stopped."""
    reason, _, not_evaluated = finding.reason.partition(_NOT_EVALUATED)
    _, _, network = finding.detector.version.partition(_NETWORK)
    return Verdict(
        fault=finding.fault,
        component=finding.component,
        severity=finding.severity,
        confidence=finding.confidence,
        reason=reason,
        not_evaluated=not_evaluated,
        network=network if finding.detector.judge is DetectorKind.TREND else "",
        carriers=finding.carriers,
        basis=Basis(evaluated=tuple(carrier.metric for carrier in finding.carriers)),
    )
