"""Alarm rate control: the device adapts its alarm threshold (the bar), so that false cases keep the configured rate.

What flows in: the strength of each row (Score.strength). What flows out: one Decision for each row.

    strength ─> above the bar?  bar = the threshold of the fleet for this rate (valid from the first row)
                                    + caution while the device is new, halved every three days
                                    + a step towards the device's own peaks for each of its cases
                                    + the peak of the last case, decaying within hours

Each case pushes the bar towards the strength that the device exceeds at the configured rate: the n-th highest of its
six-hour peaks of four weeks. The push decays with time, at the allowed rate of cases, and a quiet device
gets credit for unused cases, up to a maximum. Therefore a device with few cases uses the bar of the fleet, a device
with many cases uses a bar from its own history, and no number of incidents raises the bar beyond the peaks of four
weeks.

A device can't separate true cases from false ones, so it controls the rate of all cases: twice the configured rate,
plus one incident a week (docs/adr/0007).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

STATE_VERSION = 3
START = 2.8
"""The bar of the fleet for one false case a week; strengths are root mean squares over channels, 1 is usual."""
PER_FOLD = 0.25  # how much higher the logarithm of the fleet's bar is where the rate is e times lower
PUSH = 0.2  # share of the way to the own peaks, for each case
PUSHED_AT_FIRST = 0.4  # for a new device: it is unknown whether the bar of the fleet suits it
CREDIT = 1.0  # of the way: credit for cases that a quiet device did not open; it is used before the bar is pushed
MOST_PUSHED = 1.2  # slightly beyond the own peaks, so that a case still counts when the bar has reached them
CASES_PER_FALSE_ONE = 2.0
INCIDENTS_PER_WEEK = 1.0
FADE_S = 24 * 3600.0  # half-life of the peak of a case
ABOVE_PEAK = 1.1  # a further case must exceed the last peak by this factor
FADED = 0.01  # of the logarithm: smaller values are set to zero
CAUTION = 0.15  # of the logarithm: how much higher the bar of a new device is
CAUTION_S = 72 * 3600.0  # half-life of that caution
BLOCK_S = 6 * 3600.0  # all peaks within one block count as one
BLOCKS = 112  # four weeks
OWN_BLOCKS = 4  # a day: own peaks are used from here on
CASE_S = 3600.0  # alarms within an hour are one case
HOLD_RATIO = 0.7  # of the bar: a case stays active while the strength is above it
LEAST = 1e-3  # lower strengths are raised to this
MOST = 1e6
_WEEK_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The decision on a row. `alarm`: a case opens with it. `active`: an open case still holds.

    `bar` is the strength above which this row opens a case; `reason` is a clause for support staff.
    """

    alarm: bool
    active: bool
    bar: float
    reason: str


class Alarms:
    """Controls the rate of cases of one device. Stores the peaks of four weeks; memory is bounded."""

    def __init__(
        self,
        false_per_week: float = 1.0,
        step_s: float = 60.0,
        *,
        start: float = START,
        push: float = PUSH,
        caution: float = CAUTION,
    ) -> None:
        """`step_s`: seconds of the device's time from one strength to the next.

        `start` and `caution` depend on the kind of strength. Devices use the defaults for the score; an evaluation
        tunes `start` and `push` on other machines.
        """
        if not (0 < false_per_week < math.inf and 0 < step_s < math.inf):
            raise ValueError(f"false_per_week ({false_per_week}) and step_s ({step_s}) must be positive numbers")
        self._false_per_week, self._step_s = false_per_week, step_s
        self._fleet = math.log(start) - PER_FOLD * math.log(false_per_week)
        bearable = CASES_PER_FALSE_ONE * false_per_week + INCIDENTS_PER_WEEK
        self._push, self._release = push, push * bearable * step_s / _WEEK_S
        self._fade, self._settle = 0.5 ** (step_s / FADE_S), 0.5 ** (step_s / CAUTION_S)
        self._rows_of_block = max(1, round(BLOCK_S / step_s))
        self._rows_of_case = max(1, round(CASE_S / step_s))
        self._peaks: list[float] = []  # logarithms, oldest first
        self._own = self._fleet  # the bar according to the own peaks
        self._rows = 0  # of the current block
        self._highest = math.log(LEAST)  # in the current block
        self._pushed = PUSHED_AT_FIRST  # 0: the bar of the fleet; 1: the own bar; below 0: credit
        self._caution = caution
        self._memory = 0.0  # remaining excess of the last case's peak over the bar
        self._quiet = self._rows_of_case  # rows since a case opened
        self._active = False

    @property
    def active(self) -> bool:
        """Return whether an open case still holds."""
        return self._active

    def resume(self) -> None:
        """Resume a case that was open when the agent stopped. It does not open again."""
        self._active = True

    def step(self, strength: float | None) -> Decision:
        """Evaluate the next row. None or a non-finite number means that nothing was measured: no case opens."""
        measured = strength is not None and math.isfinite(strength)
        loud = math.log(min(MOST, max(LEAST, strength))) if strength is not None and measured else math.log(LEAST)
        fleet = self._fleet + self._caution
        bar = fleet + max(0.0, self._pushed) * max(0.0, self._own - fleet)
        needed = bar + self._memory
        self._quiet += 1
        alarm = measured and loud > needed and self._quiet >= self._rows_of_case
        self._active = alarm or (self._active and measured and loud > bar + math.log(HOLD_RATIO))
        self._learn(loud, loud - bar, alarm)
        return Decision(
            alarm=alarm,
            active=self._active,
            bar=math.exp(needed),
            reason=f"{math.exp(loud - bar):.1f} times the alarm threshold of this device",
        )

    def export_state(self) -> dict[str, object]:
        """Return what must outlive a reboot as a plain dictionary, fit for JSON."""
        return {
            "version": STATE_VERSION,
            "step_s": self._step_s,
            "peaks": list(self._peaks),
            "rows": self._rows,
            "highest": self._highest,
            "pushed": self._pushed,
            "caution": self._caution,
            "memory": self._memory,
            "quiet": self._quiet,
            "standing": self._active,
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError with the reason, and then changes nothing.

        The configured rate may differ from that of the state: the peaks are valid for every rate.
        """
        if state.get("version") != STATE_VERSION or state.get("step_s") != self._step_s:
            raise ValueError("alarms: state is of another version or step")
        peaks = state.get("peaks")
        if not isinstance(peaks, list) or len(peaks) > BLOCKS:
            raise ValueError(f"alarms: peaks must be a list of at most {BLOCKS}")
        bound = math.log(MOST)
        kept = [_number(peak, "peaks", -bound, bound) for peak in peaks]
        highest = _number(state.get("highest"), "highest", -bound, bound)
        pushed = _number(state.get("pushed"), "pushed", -CREDIT, MOST_PUSHED)
        caution = _number(state.get("caution"), "caution", 0.0, CAUTION)
        memory = _number(state.get("memory"), "memory", 0.0, 3 * bound)
        rows, quiet = (_number(state.get(name), name, 0.0, 2.0**53) for name in ("rows", "quiet"))
        active = state.get("standing")
        if not isinstance(active, bool):
            raise ValueError("alarms: standing must be true or false")
        self._highest, self._pushed, self._caution, self._memory = highest, pushed, caution, memory
        self._rows, self._quiet, self._active = int(rows), int(quiet), active
        self._resume(kept)

    def _learn(self, loud: float, above: float, alarm: bool) -> None:
        """Update the bar after a row that was `above` the bar, all in logarithms."""
        if alarm:
            self._quiet, self._pushed = 0, min(MOST_PUSHED, self._pushed + self._push)
        if alarm or self._memory > 0:
            self._memory = max(self._memory, ABOVE_PEAK * above)
        self._memory = self._memory * self._fade if self._memory > FADED else 0.0
        self._pushed = max(-CREDIT, self._pushed - self._release)
        self._caution *= self._settle
        self._highest = max(self._highest, loud)
        self._rows += 1
        if self._rows >= self._rows_of_block:
            self._resume([*self._peaks, self._highest])
            self._rows, self._highest = 0, math.log(LEAST)

    def _resume(self, peaks: list[float]) -> None:
        """Set the own bar to the n-th highest peak, where n is the allowed number of cases in the time of the peaks."""
        self._peaks = peaks[-BLOCKS:]
        known = len(self._peaks)
        self._own = self._fleet
        if known >= OWN_BLOCKS:
            allowed = max(1, round(self._false_per_week * known * BLOCK_S / _WEEK_S))
            self._own = max(self._fleet, sorted(self._peaks, reverse=True)[min(allowed, known) - 1])


def _number(value: object, name: str, least: float, most: float) -> float:
    if not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"alarms: {name} must be from {least:g} to {most:g}")
    return float(value)
