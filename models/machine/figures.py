"""Figures of alarms on labelled experiments, as ../shared/bench/skab_judge.py defines them.

What flows in: labels and alarms of experiments, from the end of the healthy start on. What flows out: Figures. Shares
of rows alone prove little: two detectors that read no sensor are computed as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.machine.experiments import Labels

HOUR_S = 3600.0
BLIND_ROWS = (572, 975)  # in most of the benchmark's experiments the fault lasts from row 572 to row 974
Pair = tuple[Labels, Labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """F1 of rows; shares of healthy rows with and of faulty rows without an alarm; what a user sees."""

    experiments: int
    f1: float
    false_share: float
    missed_share: float
    found: int
    delay_s: float
    false_per_hour: float

    def line(self) -> str:
        """Return one line for people."""
        return (
            f"F1 {self.f1:.3f}, FAR {100 * self.false_share:.1f} %, MAR {100 * self.missed_share:.1f} %, found "
            f"{self.found}/{self.experiments}, delay {self.delay_s:.0f} s, {self.false_per_hour:.2f} false an hour"
        )


def figures(pairs: Sequence[Pair]) -> Figures:
    """Return the figures of (labels, alarms) of each experiment."""
    labels, alarms = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    hit, false, missed = (alarms & labels).sum(), (alarms & ~labels).sum(), (~alarms & labels).sum()
    delays = [delay for one in pairs if (delay := _delay(*one)) is not None]
    healthy_s = sum(int(np.flatnonzero(label)[0]) for label, _ in pairs)
    return Figures(
        experiments=len(pairs),
        f1=float(2 * hit / max(1, 2 * hit + false + missed)),
        false_share=float(false / max(1, (~labels).sum())),
        missed_share=float(missed / max(1, labels.sum())),
        found=len(delays),
        delay_s=float(np.median(delays)) if delays else float("nan"),
        false_per_hour=sum(openings(alarm[: np.flatnonzero(label)[0]]) for label, alarm in pairs)
        / max(1e-9, healthy_s / HOUR_S),
    )


def openings(alarm: Labels) -> int:
    """Return how many alarms begin in these rows."""
    return int(alarm[:1].sum() + (alarm[1:] & ~alarm[:-1]).sum())


def _delay(label: Labels, alarm: Labels) -> int | None:
    first, last = np.flatnonzero(label)[[0, -1]]
    hits = np.flatnonzero(alarm[first : last + 1])
    return int(hits[0]) if len(hits) else None


def blind_detectors(labels: Sequence[Labels], start_rows: int) -> dict[str, float]:
    """Return the F1 of detectors that read no sensor: one that is always on, and one that knows the time."""
    always = figures([(label, np.ones(len(label), np.bool_)) for label in labels]).f1
    rows = [np.arange(len(label)) + start_rows for label in labels]
    by_time = [(label, (row >= BLIND_ROWS[0]) & (row < BLIND_ROWS[1])) for label, row in zip(labels, rows, strict=True)]
    return {"always on": always, f"rows {BLIND_ROWS[0]}-{BLIND_ROWS[1] - 1}": figures(by_time).f1}
