"""Synthetic faults in real series: what the network learns from, because nobody has enough labelled real ones.

What flows in: a clean series and a random generator. What flows out: the series with faults in it, and for
each row and channel whether a judge of the last rows should have something to say.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_agent.detection.baseline import Array

HISTORY_ROWS = 720  # what a fault's size is measured by
RECOVERY_ROWS = 48  # after a fault the window still holds part of it: neither usual nor a fault
SIZES = (3.0, 20.0)  # of a fault, in deviations of the rows before it


class Mark(IntEnum):
    """What a row of a channel is, for training."""

    USUAL = 0  # nothing was done here
    UNCLEAR = 1  # a fault has just begun or ended: left out
    FAULT = 2  # a fault is under way and can be seen; 2 for the first of KINDS, 3 for the second ...


class Kind(NamedTuple):
    """One kind of fault: how long it lasts, after how many rows it can be seen, and what it does to the rows."""

    shortest: int
    longest: int
    seen_after: int
    change: Callable[[Array, Array, float, np.random.Generator], Array]


def _shift(rows: Array, _: Array, size: float, rng: np.random.Generator) -> Array:
    return rows + size * _sign(rng)


def _drift(rows: Array, _: Array, size: float, rng: np.random.Generator) -> Array:
    return rows + size * _sign(rng) * np.linspace(0.0, 1.0, len(rows))


def _stick(rows: Array, _: Array, __: float, ___: np.random.Generator) -> Array:
    return np.full_like(rows, rows[0])


def _noise(rows: Array, _: Array, size: float, rng: np.random.Generator) -> Array:
    return rows + rng.normal(0.0, size / 3, len(rows))


def _lose_rhythm(rows: Array, history: Array, _: float, rng: np.random.Generator) -> Array:
    """The usual values in an unusual order: rows of the history, drawn at random."""
    return rng.choice(history, len(rows))


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice((-1.0, 1.0)))


KINDS = {
    "spike": Kind(1, 3, 0, _shift),
    "level shift": Kind(20, 120, 0, _shift),
    "drift": Kind(60, 240, 30, _drift),
    "stuck": Kind(40, 240, 16, _stick),
    "noise": Kind(20, 120, 2, _noise),
    "lost seasonality": Kind(40, 240, 8, _lose_rhythm),
}


def inject(series: Array, rng: np.random.Generator, every: int = 500) -> tuple[Array, npt.NDArray[np.uint8]]:
    """Return a copy of (rows, channels) with about one fault each `every` rows of a channel, and its Marks.

    The channels fail independently of each other. Stretches that do not move are left alone: what is constant
    can't become stuck or lose its rhythm, and there is no deviation to measure a shift by.
    """
    faulty, marks = series.copy(), np.full(series.shape, Mark.USUAL, np.uint8)
    for channel in range(series.shape[1]):
        start = int(rng.integers(every // 4, every))
        while start < len(series):
            number = int(rng.integers(len(KINDS)))
            kind = list(KINDS.values())[number]
            end = min(len(series), start + int(rng.integers(kind.shortest, kind.longest + 1)))
            if _change(faulty[:, channel], slice(start, end), kind, rng):
                marks[start : end + RECOVERY_ROWS, channel] = Mark.UNCLEAR
                marks[start + kind.seen_after : end, channel] = Mark.FAULT + number
            start = end + RECOVERY_ROWS + int(rng.exponential(every))
    return faulty, marks


def _change(column: Array, span: slice, kind: Kind, rng: np.random.Generator) -> bool:
    """Put one fault into a channel; False if the rows before it don't move."""
    history = column[max(0, span.start - HISTORY_ROWS) : span.start]
    # the latest rows must move too: a metric that has gone quiet by itself can't be seen to be stuck
    if history.std() == 0 or history[-16:].std() == 0:
        return False
    size = history.std() * np.exp(rng.uniform(*np.log(SIZES)))
    column[span] = kind.change(column[span], history, float(size), rng)
    return True
