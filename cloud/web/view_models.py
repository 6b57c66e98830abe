"""What the pages show, made of rows: lines of the inbox, the parts of a case's page.

What flows in: rows and now. What flows out: frozen values in words, ready for the templates. Pure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from string import Formatter

from cloud.cases.cases import DONE
from cloud.store.queries import CaseFile, CaseLine
from cloud.store.tables import CaseState, Episode, EpisodeState, EvidenceRow, SupportCase
from cloud.web import case_charts, formatting
from cloud.web.case_charts import Plot
from cloud.web.evidence_series import read_evidence
from edge_agent.protocol.faults import FAULTS, DetectorKind
from edge_agent.protocol.records import Carrier
from edge_agent.protocol.wording import metric_words, quantity, span

Pieces = tuple[tuple[str, bool], ...]  # text, and whether it names the device or component (shown strong)


class ImpactStatus(StrEnum):
    """What stands where the countdown is."""

    CLOSED = "closed"  # its label
    OVER = "over"  # nothing is wrong any more: somebody must say what it was
    ENDING = "ending"  # the device says that it is over, and it is watched a little longer
    COUNTING = "counting"  # the time to impact
    NOW = "now"  # certain and wrong already: there is nothing to count down to
    UNKNOWN = "unknown"  # the device gives no time to impact


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the inbox."""

    case: SupportCase
    headline: Pieces
    more: int  # further faults of the same case
    place: str  # customer and site, as far as known
    spark: str
    impact_status: ImpactStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ContributingMetric:
    """One metric that carries a finding, in words."""

    metric: str
    value: str
    expected: str
    share: str
    width: int  # of the share's bar, of 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One decision of the system: what it did, when, and why."""

    decision: str
    at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeView:
    """One episode of the case: what was seen, why it is believed, what to do."""

    episode: Episode
    headline: Pieces
    plots: tuple[Plot, ...]
    pending: str  # why there is no chart, if there is none
    carriers: tuple[ContributingMetric, ...]
    detector: str
    confidence_meaning: str
    proof: str
    intact: bool
    events: tuple[str, ...]
    impact: str
    advice: tuple[str, ...]
    source: str
    severity_reason: str
    decisions: tuple[Reason, ...]  # all that are kept, oldest first
    newest: Reason | None  # the last of them, if it is neither the severity's reason nor the case's


def row(line: CaseLine, sparks: Mapping[str, str]) -> Row:
    """Make one line of the inbox from a case; its first episode speaks for it."""
    leading = line.episodes[0] if line.episodes else None
    spark = sparks.get(leading.evidence_id or "", "") if leading else ""
    return Row(
        case=line.case,
        headline=headline(leading, line.case),
        more=max(0, len(line.episodes) - 1),
        place=" · ".join(part for part in (line.device.customer, line.device.site) if part),
        spark=spark,
        impact_status=impact_status(line.case, leading),
    )


def impact_status(case: SupportCase, leading: Episode | None) -> ImpactStatus:
    """Say what stands where the countdown is."""
    if case.state in DONE:
        return ImpactStatus.CLOSED
    if case.state == CaseState.PENDING_CLOSE or (leading and leading.state == EpisodeState.RESOLVED):
        return ImpactStatus.OVER
    if case.impact_at:
        return ImpactStatus.COUNTING
    if leading and leading.cleared_at:
        return ImpactStatus.ENDING
    certain = leading is not None and leading.detector.get("judge") == DetectorKind.RULE
    return ImpactStatus.NOW if certain else ImpactStatus.UNKNOWN


def headline(episode: Episode | None, case: SupportCase) -> Pieces:
    """Say what is wrong in the catalogue's words; a fault that we do not know yet says the case's own title."""
    fault = FAULTS.get(episode.fault) if episode else None
    if episode is None or fault is None:
        return ((case.title, False),)
    component = episode.component
    if fault.detector is DetectorKind.MODEL:  # a metric's name, and the headline has brackets around it already
        component = metric_words(component).replace(" (", ", ").removesuffix(")")
    values = {"component": component, "device": case.device}
    pieces: list[tuple[str, bool]] = []
    for text, name, _, _ in Formatter().parse(fault.headline):
        pieces.append((text, False))
        if name:
            pieces.append((values[name], name == "device"))
    return tuple(piece for piece in pieces if piece[0])


def episode_views(file: CaseFile, now: datetime) -> tuple[EpisodeView, ...]:
    """Make the parts of the case's page, one for each episode, the leading one first."""
    return tuple(
        _episode_view(episode, file.evidence.get(episode.evidence_id or "", ()), file, now) for episode in file.episodes
    )


def _episode_view(episode: Episode, rows: Sequence[EvidenceRow], file: CaseFile, now: datetime) -> EpisodeView:
    fault = FAULTS.get(episode.fault)
    seen = read_evidence(rows) if rows else None
    carriers = [Carrier.model_validate(raw) for raw in episode.carriers]
    reasons = [_reason(raw) for raw in episode.reasons]
    return EpisodeView(
        episode=episode,
        headline=headline(episode, file.case),
        plots=case_charts.plots(case_charts.framed(episode, rows, now), is_leading=episode is file.episodes[0]),
        pending=_why_no_chart(episode, rows),
        carriers=tuple(_contributing_metric(carrier) for carrier in carriers),
        detector=_detector(episode),
        confidence_meaning=formatting.confidence_meaning(
            str(episode.detector.get("judge")), str(episode.detector.get("version", "")), episode.confidence
        ),
        proof=_proof(rows),
        intact=all(row.intact for row in rows),
        events=tuple(dict.fromkeys(seen.events)) if seen else (),
        impact=fault.impact if fault else "",
        advice=fault.advice if fault else (),
        source=fault.source if fault else "",
        severity_reason=sentence(episode.severity_reason.removeprefix(f"{episode.severity}: ")),
        decisions=tuple(reasons),
        newest=reasons[-1] if reasons and reasons[-1].decision not in _SHOWN_ELSEWHERE else None,
    )


_SHOWN_ELSEWHERE = ("Opened", "Raised", "Fired")


def _reason(raw: Mapping[str, str]) -> Reason:
    decision = raw["decision"].replace("_", " ").capitalize()
    return Reason(decision=decision, at=datetime.fromisoformat(raw["at"]), reason=sentence(raw["reason"]))


def sentence(text: str) -> str:
    """Return a clause as a sentence: a capital at its start, a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "!", "?")) else ".")


def _why_no_chart(episode: Episode, rows: Sequence[EvidenceRow]) -> str:
    if episode.evidence_id is None:
        return "The device recorded no evidence for this finding."
    if not rows:
        return "The evidence has not arrived yet. This page updates when it does."
    return "The evidence contains no series that can be drawn."


def _contributing_metric(carrier: Carrier) -> ContributingMetric:
    return ContributingMetric(
        metric=metric_words(carrier.metric),
        value=quantity(carrier.value, carrier.unit),
        expected=span(carrier.expected_low, carrier.expected_high, carrier.unit),
        share=formatting.percent(carrier.share),
        width=math.ceil(carrier.share * 64),
    )


def _detector(episode: Episode) -> str:
    detector = formatting.DETECTORS.get(str(episode.detector.get("judge")), "unknown detector")
    return f"{detector} {episode.detector.get('version', 'of unknown version')}"


def _proof(rows: Sequence[EvidenceRow]) -> str:
    if not rows:
        return "not received yet"
    if not all(row.intact for row in rows):
        return "the checksum does not match the content: read the chart with care"
    halves = (
        "recorded before and after the detection"
        if len(rows) > 1
        else "recorded before the detection, the rest follows"
    )
    return f"complete, checksum verified; {halves}" if len(rows) > 1 else f"checksum verified; {halves}"


def is_open(case: SupportCase) -> bool:
    """Say whether a case still wants somebody."""
    return case.state not in DONE
