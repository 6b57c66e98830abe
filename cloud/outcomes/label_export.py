"""Label export: labelled episodes as `python -m models train machine --labels` reads them.

What flows in: closed cases with their findings, and telemetry at full rate. What flows out: a folder with `labels.csv`
(recording;first_s;last_s, in seconds of the device's uptime) and a recording for each episode whose telemetry is there:
a healthy time, then the episode. A true fault is a line of the labels; any other label is a recording without a line,
because nothing was wrong in it. The format of a recording is that of `edge-agent record`.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.outcomes import Label
from cloud.outcomes.episode_findings import findings_of
from cloud.store.tables import Episode, SupportCase, TelemetryChunk
from edge_agent.protocol import telemetry

SEPARATOR, TIME_COLUMN = ";", "uptime_s"  # of `edge-agent record`
LABEL_COLUMNS = ("recording", "first_s", "last_s")
HEALTHY_S = 2400.0  # before the episode; a network needs 2,000 s
SHORTEST_S, AFTER_S = 300.0, 120.0
FULL_RATE_S = 1.5  # a period of at most this is a reading a second
_BATCH = timedelta(hours=1)  # no batch at full rate is longer

Readings = dict[float, dict[str, float]]  # by uptime in seconds, then by series


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledEpisode:
    """One episode of a closed case, in seconds of uptime of one boot of its device."""

    id: int
    device: str
    component: str
    case_number: int
    label: Label
    boot_id: str
    first_s: float
    last_s: float
    first_at: datetime

    @property
    def recording(self) -> str:
        """The file name of its recording."""
        return f"{self.device}-case-{self.case_number}-{self.id}.csv"

    @property
    def window_s(self) -> tuple[float, float]:
        """Uptimes from a healthy time before it to a while after it."""
        return self.first_s - HEALTHY_S, max(self.last_s, self.first_s + SHORTEST_S) + AFTER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written, and the episodes without telemetry at full rate."""

    written: tuple[LabelledEpisode, ...]
    missing: tuple[LabelledEpisode, ...]


class LabelFolder:
    """A new folder with `labels.csv` and recordings. Raises OSError, FileExistsError among them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(parents=True)
        self._write("labels.csv", [LABEL_COLUMNS])

    def add(self, episode: LabelledEpisode, readings: Readings) -> None:
        """Write the recording of an episode, and its line if it was a fault."""
        names = sorted({name for row in readings.values() for name in row})
        rows = [
            [f"{uptime_s:.3f}", *(f"{row[name]:.9g}" if name in row else "" for name in names)]
            for uptime_s, row in sorted(readings.items())
        ]
        self._write(episode.recording, [[TIME_COLUMN, *names], *rows])
        if episode.label is Label.TRUE_FAULT:
            self._write("labels.csv", [[episode.recording, f"{episode.first_s:.3f}", f"{episode.last_s:.3f}"]])

    def _write(self, name: str, rows: Iterable[Sequence[str]]) -> None:
        with (self._path / name).open("a", newline="") as file:
            csv.writer(file, delimiter=SEPARATOR).writerows(rows)


async def export_labels(session: AsyncSession, folder: LabelFolder, fault: str, component: str = "") -> Exported:
    """Write the labelled episodes of a fault into a folder."""
    written: list[LabelledEpisode] = []
    missing: list[LabelledEpisode] = []
    for episode in await labelled_episodes(session, fault, component):
        readings = await _readings(session, episode)
        if readings:
            folder.add(episode, readings)
        (written if readings else missing).append(episode)
    return Exported(written=tuple(written), missing=tuple(missing))


async def labelled_episodes(session: AsyncSession, fault: str, component: str = "") -> list[LabelledEpisode]:
    """Return the episodes of a fault in closed cases; a duplicate's story is told by the other case."""
    query = (
        select(Episode, SupportCase.label)
        .join(SupportCase, SupportCase.number == Episode.case_number)
        .where(Episode.fault == fault, SupportCase.label.is_not(None), SupportCase.label != Label.DUPLICATE)
        .order_by(Episode.id)
    )
    if component:
        query = query.where(Episode.component == component)
    found = [await _labelled(session, episode, Label(label or "")) for episode, label in await session.execute(query)]
    return [episode for episode in found if episode]


async def _labelled(session: AsyncSession, episode: Episode, label: Label) -> LabelledEpisode | None:
    """Date an episode by its device's uptime. Of one that outlived a restart the part before it is taken."""
    findings = [finding for finding, _ in await findings_of(session, episode)]
    if not findings:
        return None
    since = findings[0].since
    uptimes_s = [finding.at.uptime_s for finding in findings if finding.at.boot_id == since.boot_id]
    return LabelledEpisode(
        id=episode.id,
        device=episode.device,
        component=episode.component,
        case_number=episode.case_number or 0,
        label=label,
        boot_id=since.boot_id,
        first_s=since.uptime_s,
        last_s=max(uptimes_s, default=since.uptime_s),
        first_at=episode.first_at,
    )


async def _readings(session: AsyncSession, episode: LabelledEpisode) -> Readings:
    """Return the readings of an episode's window by uptime; none without telemetry at full rate."""
    start_s, end_s = episode.window_s
    query = select(TelemetryChunk.body).where(
        TelemetryChunk.device == episode.device,
        TelemetryChunk.start_at >= episode.first_at - timedelta(seconds=HEALTHY_S) - _BATCH,
        TelemetryChunk.start_at <= episode.first_at + timedelta(seconds=end_s - episode.first_s) + _BATCH,
    )
    rows: Readings = {}
    for body in await session.scalars(query.order_by(TelemetryChunk.start_at, TelemetryChunk.seq)):
        batch = telemetry.unpack(body)
        if batch.start.boot_id != episode.boot_id or batch.period_s > FULL_RATE_S:
            continue
        for column in (column for column in batch.columns if column.aggregate == "last"):
            for place in np.flatnonzero(~np.isnan(column.values)):
                uptime_s = round(batch.start.uptime_s + int(place) * batch.period_s, 3)
                if start_s <= uptime_s <= end_s:
                    rows.setdefault(uptime_s, {})[column.series] = float(column.values[place])
    return rows
