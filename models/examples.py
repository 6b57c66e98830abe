"""Examples to train on: windows exactly as the agent's own Scorer hands them to a network.

What flows in: clean series. What flows out: windows (n, window) and whether each ends in a synthetic fault.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_agent.detection.baseline import Array
from edge_agent.detection.scoring import Scorer
from models.faults import Mark, inject

WINDOW = 32
WARM_ROWS = 240  # before it the baseline is too young to teach anything
MOST_ROWS = 12_000  # of one series: enough weeks, and training stays a matter of minutes


class Examples(NamedTuple):
    """Windows (n, WINDOW), targets (n,) 1.0 where the window ends in a fault, and marks (n,) that say in which."""

    windows: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    marks: npt.NDArray[np.uint8]

    @staticmethod
    def join(parts: "list[Examples]") -> "Examples":
        """Put several lots behind each other."""
        return Examples(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def pick(self, places: npt.NDArray[np.int64]) -> "Examples":
        """Return some of them."""
        return Examples(self.windows[places], self.targets[places], self.marks[places])


class Recorder:
    """A Net that says nothing and keeps, of each row, one window of a faulty channel and one of a usual one."""

    window = WINDOW
    name = "recorder-0"

    def __init__(self, marks: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
        self._marks = marks
        self._rng = rng
        self._row = 0
        self.windows: list[npt.NDArray[np.float32]] = []
        self.picked: list[int] = []

    def judge(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Keep examples of this row; nothing is unusual."""
        marks, self._row = self._marks[self._row], self._row + 1
        if self._row > WARM_ROWS:
            for places in (np.flatnonzero(marks >= Mark.FAULT), np.flatnonzero(marks == Mark.USUAL)):
                if len(places):
                    place = self._rng.choice(places)
                    self.windows.append(windows[place].copy())
                    self.picked.append(int(marks[place]))
        return np.zeros(len(windows), np.float32)


def examples_of(series: Array, period_s: float, rng: np.random.Generator) -> Examples:
    """Run the agent's Scorer over (rows, channels) with faults injected, and return balanced examples."""
    faulty, marks = inject(series[-MOST_ROWS:], rng)
    recorder = Recorder(marks, rng)
    scorer = Scorer(recorder, step_s=period_s)
    names = [f"channel{number}" for number in range(series.shape[1])]
    for row, values in enumerate(faulty):
        scorer.step(dict(zip(names, values.tolist(), strict=True)), row * period_s)
    windows = np.array(recorder.windows, np.float32).reshape(-1, WINDOW)
    picked = np.array(recorder.picked, np.uint8)
    return _balanced(Examples(windows, (picked >= Mark.FAULT).astype(np.float32), picked), rng)


def _balanced(examples: Examples, rng: np.random.Generator) -> Examples:
    """As many usual windows as faulty ones, so that no machine teaches that all is well."""
    faulty, usual = np.flatnonzero(examples.targets == 1), np.flatnonzero(examples.targets == 0)
    fewer = min(len(faulty), len(usual))
    kept = np.sort(np.concatenate([rng.permutation(faulty)[:fewer], rng.permutation(usual)[:fewer]]))
    return examples.pick(kept)
