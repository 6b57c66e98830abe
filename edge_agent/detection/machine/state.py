"""The learned state of one machine as JSON, and back.

What flows in: what a machine has learned. What flows out: the same, checked: shapes, finite numbers, channels, version.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_agent.detection.machine.calibration import GROUPS, Calibration
from edge_agent.detection.machine.statistics import STATISTICS, Array

STATE_VERSION = 1
_UNITS = (1e-30, 1e30)  # least and most of noise, wander and still_s, and most of a reference: powers stay finite
_MOST_ROWS = 1_000_000  # of a healthy start; longer ones can't be configured
_LARGEST_BAR = 1e9  # stands for infinity, which JSON lacks


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedState:
    """`start` (rows, channels): the rows learned so far, NaN where a channel was missing. It is empty once there is a
    calibration.

    `used`: places of the channels that the calibration is of.
    """

    channels: tuple[str, ...]
    start: npt.NDArray[np.float32]
    used: npt.NDArray[np.intp]
    calibration: Calibration | None
    reference: Array | None
    alarm: Mapping[str, object]


def written_state(learned: LearnedState) -> dict[str, object]:
    """Return the state fit for JSON: 4 bytes a number."""
    state: dict[str, object] = {
        "version": STATE_VERSION,
        "channels": list(learned.channels),
        "alarm": dict(learned.alarm),
        "start": _packed(learned.start),
    }
    one = learned.calibration
    if one is None or learned.reference is None:
        return state
    return state | {
        "used": learned.used.tolist(),
        "noise": _packed(one.noise),
        "wander": _packed(one.wander),
        "reference": _packed(learned.reference),
        "bars": [min(bar, _LARGEST_BAR) for bar in one.bars],
        "still_s": _packed(one.still_s),
        "rows": one.rows,
        "certainty": one.certainty,
    }


def read_state(state: Mapping[str, object], channels: tuple[str, ...], start_s: int) -> LearnedState:
    """Check a state against the configured channels. Raises ValueError with the reason."""
    if state.get("version") != STATE_VERSION:
        raise ValueError("state is of another version")
    if state.get("channels") != list(channels):
        raise ValueError("the configured channels have changed")
    alarm = state.get("alarm")
    start = _unpacked(state.get("start"), (-1, len(channels)), "start", missing=True).astype(np.float32)
    if len(start) >= start_s:
        raise ValueError(f"{len(start)} learned rows for a healthy start of {start_s} s")
    used = _places(state.get("used", list(range(len(channels)))), len(channels))
    learned = "wander" in state
    return LearnedState(
        channels=channels,
        start=start,
        used=used,
        calibration=_calibration(state, len(used)) if learned else None,
        reference=_unpacked(state.get("reference"), (STATISTICS, len(used)), "reference") if learned else None,
        alarm=alarm if isinstance(alarm, dict) else {},
    )


def _calibration(state: Mapping[str, object], channels: int) -> Calibration:
    noise = _unpacked(state.get("noise"), (channels,), "noise")
    wander = _unpacked(state.get("wander"), (STATISTICS, channels), "wander")
    still_s = _unpacked(state.get("still_s"), (channels,), "still_s")
    bars, rows, certainty = state.get("bars"), state.get("rows"), state.get("certainty")
    if not isinstance(bars, list) or len(bars) != len(GROUPS) or not all(map(_is_positive, bars)):
        raise ValueError(f"expected {len(GROUPS)} positive bars")
    reference = _unpacked(state.get("reference"), (STATISTICS, channels), "reference")
    _check_units(noise, wander, still_s, reference)
    if type(rows) is not int or not 0 < rows <= _MOST_ROWS:
        raise ValueError(f"rows must be a number from 1 to {_MOST_ROWS}")
    if not isinstance(certainty, float) or not 0.0 <= certainty <= 1.0:
        raise ValueError("certainty must be a number from 0 to 1")
    return Calibration(
        noise=noise,
        wander=wander,
        reference=reference,
        bars=tuple(math.inf if bar >= _LARGEST_BAR else float(bar) for bar in bars),
        still_s=still_s,
        rows=rows,
        certainty=certainty,
    )


def _check_units(noise: Array, wander: Array, still_s: Array, reference: Array) -> None:
    least, most = _UNITS
    units = np.concatenate([noise, wander.ravel(), still_s])
    if units.min() < least or units.max() > most:
        raise ValueError(f"noise, wander and still_s must be from {least:g} to {most:g}")
    if np.abs(reference).max() > most:
        raise ValueError(f"reference must be at most {most:g}")


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 < value < math.inf


def _places(value: object, channels: int) -> npt.NDArray[np.intp]:
    places = value if isinstance(value, list) else []
    in_order = all(type(one) is int and 0 <= one < channels for one in places) and places == sorted(set(places))
    if not places or not in_order:
        raise ValueError("used must list places of channels in order")
    return np.array(places, np.intp)


def _packed(array: npt.NDArray[np.floating[Any]]) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode()


def _unpacked(text: object, shape: tuple[int, ...], name: str, *, missing: bool = False) -> Array:
    """Return an array of numbers up to what is written; with `missing`, NaN is allowed. Raises ValueError."""
    try:
        array = np.frombuffer(base64.b64decode(text if isinstance(text, str) else "", validate=True), "<f4")
        array = array.reshape(shape)
    except ValueError:
        raise ValueError(f"{name} must hold numbers of shape {shape}") from None
    if not (np.isfinite(array) | (missing & np.isnan(array))).all():
        raise ValueError(f"{name} must hold finite numbers")
    return array.astype(np.float64)
