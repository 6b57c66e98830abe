"""The evidence ring: the last minutes of every series at full rate, copied into a pack when a finding opens.

What flows in: samples and announcements. What flows out: evidence records, one when a finding opens (what was before)
and one a little later (what followed).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_agent.detection.findings import Announcement
from edge_agent.detection.verdicts import Basis
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import metric_of, series_name
from edge_agent.protocol.records import MAX_POINTS, Evidence, EvidencePart, Finding, Phase, Series

_CONTEXT = (  # shown beside any fault
    "system.cpu.load_average.1m",
    "system.linux.memory.available",
    "hw.temperature",
)
_MAX_CONTEXT = 4


class Ring:
    """Full-rate features of the last `rows` samples; a series that appears later is missing before."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._times = np.full(rows, np.nan)
        self._columns: dict[str, npt.NDArray[np.float32]] = {}
        self._next = 0

    def add(self, uptime_s: float, values: Mapping[str, float]) -> None:
        """Add one sample in place of the oldest."""
        self._times[self._next] = uptime_s
        for series in values.keys() - self._columns.keys():
            self._columns[series] = np.full(self._rows, np.nan, np.float32)
        for series, column in self._columns.items():
            column[self._next] = values.get(series, np.nan)
        self._next = (self._next + 1) % self._rows
        if self._next == 0:
            self._columns = {key: column for key, column in self._columns.items() if not np.isnan(column).all()}

    def names(self) -> Iterator[str]:
        """Return the names of the series in the ring."""
        return iter(self._columns)

    def since(self, series: str, uptime_s: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return times and values of a series after an uptime, oldest first; unknown series are empty."""
        order = np.roll(np.arange(self._rows), -self._next)
        column = self._columns.get(series)
        if column is None:
            return np.empty(0), np.empty(0)
        times, values = self._times[order], column[order].astype(np.float64)
        chosen = (times > uptime_s) & np.isfinite(values)  # NaN times compare false
        return times[chosen], values[chosen]


@dataclass(slots=True)
class _Open:
    """A pack whose second half is pending."""

    finding: Finding
    basis: Basis
    due_s: float


@dataclass(slots=True)
class EvidenceRecorder:
    """Records the evidence of findings from a ring."""

    ring: Ring
    after_s: float
    _open: list[_Open] = field(default_factory=list)

    def add(self, uptime_s: float, features: Mapping[str, float]) -> None:
        """Add the features of one sample to the ring."""
        self.ring.add(uptime_s, features)

    def freeze(self, announcement: Announcement, now: Instant) -> list[Evidence]:
        """Return the first half of the pack when a finding opens; nothing for updates and clearings."""
        finding, basis = announcement.finding, announcement.basis
        if finding.phase is not Phase.OPEN:
            return []
        self._open.append(_Open(finding, basis, now.uptime_s + self.after_s))
        return [self._pack(finding, basis, EvidencePart.BEFORE, now)]

    def due(self, now: Instant) -> list[Evidence]:
        """Return the second halves that are due."""
        ready = [one for one in self._open if now.uptime_s >= one.due_s]
        self._open = [one for one in self._open if now.uptime_s < one.due_s]
        return [self._pack(one.finding, one.basis, EvidencePart.AFTER, now) for one in ready]

    def _pack(self, finding: Finding, basis: Basis, part: EvidencePart, now: Instant) -> Evidence:
        start_s = finding.at.uptime_s if part is EvidencePart.AFTER else float("-inf")
        series = [self._evaluated(name, basis, start_s) for name in basis.evaluated]
        series += [self._series(name, start_s, "context") for name in self._context(basis.evaluated)]
        return Evidence(
            evidence_id=finding.evidence_id or finding.finding_id,
            finding_id=finding.finding_id,
            part=part,
            at=now,
            detected_uptime_s=finding.at.uptime_s,
            series=tuple(one for one in series if one.values),
            threshold=basis.threshold,
            line=basis.line,
            detector=finding.detector,
        ).sealed()

    def _evaluated(self, name: str, basis: Basis, start_s: float) -> Series:
        """Full rate where the ring reaches back far enough, else the points the trend was read from."""
        full = self._series(name, start_s, "judged")
        if basis.window is None or start_s > basis.window[0][0] or not full.uptime_s:
            return full
        older = basis.window[0] < full.uptime_s[0]
        return full.model_copy(
            update={
                "uptime_s": (*_rounded(basis.window[0][older]), *full.uptime_s),
                "values": (*map(float, basis.window[1][older]), *full.values),
            }
        )

    def _series(self, name: str, start_s: float, role: str) -> Series:
        times, values = self.ring.since(name, start_s)
        return Series.model_validate(
            {
                "metric": name,
                "unit": metric_of(name).unit,
                "uptime_s": _rounded(times[-MAX_POINTS:]),
                "values": tuple(float(f"{value:.7g}") for value in values[-MAX_POINTS:]),  # the precision of float32
                "role": role,
            }
        )

    def _context(self, evaluated: tuple[str, ...]) -> list[str]:
        names = [name for name in self.ring.names() if series_name(name) in _CONTEXT and name not in evaluated]
        return sorted(names)[:_MAX_CONTEXT]


def _rounded(times: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(t), 2) for t in times)
