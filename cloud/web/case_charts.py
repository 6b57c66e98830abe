"""The charts of a finding: drawn on the server for the page of its case, and as specifications for the script.

What flows in: an episode and its evidence. What flows out: drawings with their title, key and table, which are complete
by themselves; and the Vega-Lite specifications of the same charts, for the script that replaces them. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cloud.store.tables import Episode, EvidenceRow
from cloud.web.chart_svg import Drawing, drawing
from cloud.web.charts import Frame, draw, frame_of, table, title_of
from cloud.web.evidence_series import Curve, Seen, read_evidence
from edge_agent.protocol.records import Carrier
from edge_agent.protocol.wording import metric_words

MOST_CHARTS = 3  # of one finding
HEIGHTS = (260, 180, 130)  # of the leading episode's first chart, of another's first chart, of those below it

Framed = tuple[Curve, Frame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A chart as the page shows it: a title that says what it shows, the drawing, its key, and the data as a table."""

    title: str
    drawing: Drawing
    styles: frozenset[str]  # which styles occur, for the key below the chart
    value_name: str
    rows: tuple[tuple[float, str], ...]


def framed(episode: Episode, rows: Sequence[EvidenceRow], now: datetime) -> list[Framed]:
    """Return the curves that are drawn, with what surrounds each: the limited one first, then by share."""
    seen = read_evidence(rows) if rows else None
    if seen is None:
        return []
    carriers = [Carrier.model_validate(raw) for raw in episode.carriers]
    shares = {carrier.metric: carrier.share for carrier in carriers}
    limited = seen.threshold.metric if seen.threshold else ""
    curves = sorted(seen.curves, key=lambda curve: (curve.metric != limited, -shares.get(curve.metric, 0.0)))
    drawable = [curve for curve in curves if curve.values][:MOST_CHARTS]
    return [(curve, _frame(curve, episode, seen, carriers, now)) for curve in drawable]


def _frame(curve: Curve, episode: Episode, seen: Seen, carriers: Sequence[Carrier], now: datetime) -> Frame:
    bands = {carrier.metric: (carrier.expected_low, carrier.expected_high) for carrier in carriers}
    low, high = bands.get(curve.metric, (None, None))
    soonest, latest = episode.impact_low_at, episode.impact_high_at
    return frame_of(
        curve,
        seen,
        now=now.timestamp(),
        expected=(low, high) if low is not None and high is not None else None,
        impact=(soonest.timestamp(), latest.timestamp()) if soonest and latest else None,
    )


def plots(curves: Sequence[Framed], *, is_leading: bool) -> tuple[Plot, ...]:
    """Draw the charts of an episode."""
    return tuple(
        _plot(curve, frame, height) for (curve, frame), height in zip(curves, _heights(is_leading), strict=False)
    )


def _plot(curve: Curve, frame: Frame, height: int) -> Plot:
    drawn = drawing(curve, frame, height)
    return Plot(
        title=title_of(curve, frame),
        drawing=drawn,
        styles=frozenset({"measured", *(area.style for area in drawn.areas), *(rule.style for rule in drawn.rules)}),
        value_name=metric_words(curve.metric),
        rows=table(curve, frame),
    )


def specifications(curves: Sequence[Framed], *, is_leading: bool) -> list[dict[str, Any]]:
    """Return the same charts for the script. Each takes about 0.1 s."""
    return [
        draw(curve, frame, height).spec for (curve, frame), height in zip(curves, _heights(is_leading), strict=False)
    ]


def _heights(is_leading: bool) -> tuple[int, ...]:
    return (HEIGHTS[0] if is_leading else HEIGHTS[1], *[HEIGHTS[2]] * (MOST_CHARTS - 1))
