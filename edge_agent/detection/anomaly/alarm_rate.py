"""When is unusual unusual enough for a case? The device decides, so that false cases stay at the rate that was set.

What flows in: the strength of each row (Score.strength). What flows out: one Decision for each row.

    strength ─> above the bar?  bar = what the fleet needed for this rate (serves from the first row)
                                    + caution while the device is new, halved each three days
                                    + as far towards the device's own peaks as its own cases have pushed it
                                    + the peak of the last case, fading within hours

Each case pushes the bar towards the strength that the device itself exceeds no more often than was set: the n-th
highest of its six-hour peaks of four weeks. It decays with time, at the rate of cases that a device may have, and saves
a few of those that a quiet device didn't open. So a device with few cases is judged as the fleet is, whatever its past;
one with many is judged by its own past; and no number of incidents lifts the bar beyond what the device has shown in
four weeks.

A device can't tell true cases from false ones, so what it holds is a rate of all cases: twice the rate that was set,
plus one incident a week (docs/adr/0007).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

STATE_VERSION = 3
START = 2.8
"""The bar of the fleet for one false case a week; strengths are root mean squares over channels, 1 is usual."""
PER_FOLD = 0.25  # how much higher the logarithm of the fleet's bar is where the rate is e times lower
PUSH = 0.2  # of the way to the own peaks, by each case
PUSHED_AT_FIRST = 0.4  # a device that hasn't shown yet that the fleet's bar serves it
SAVED = 1.0  # of the way: so many cases that a quiet device didn't open may come later, before it is pushed at all
MOST_PUSHED = 1.2  # a little beyond the own peaks, so that each case still counts where the bar has reached them
CASES_PER_FALSE_ONE = 2.0
INCIDENTS_PER_WEEK = 1.0
FADE_S = 24 * 3600.0  # half-life of the memory of a case's peak
ABOVE_PEAK = 1.1  # another case needs so many times the height of the last one's peak over the bar
FADED = 0.01  # of the logarithm: less is forgotten
CAUTION = 0.15  # of the logarithm: how much higher the bar is while nothing is known of the device
CAUTION_S = 72 * 3600.0  # half-life of that caution
BLOCK_S = 6 * 3600.0  # peaks of one block are one burst
BLOCKS = 112  # four weeks
OWN_BLOCKS = 4  # a day: from here on own peaks count
CASE_S = 3600.0  # what happens within an hour is one case
HOLD_RATIO = 0.7  # of the bar: a case stands while the strength stays above it
LEAST = 1e-3  # strengths below are as quiet as can be
MOST = 1e6
_WEEK_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a row means. `alarm`: a case opens with it. `active`: a case that opened still holds.

    `bar` is the strength above which this row opened a case, or would have; `reason` is a clause for a person.
    """

    alarm: bool
    active: bool
    bar: float
    reason: str


class Alarms:
    """Holds the rate of cases of one device; keeps the peaks of four weeks, nothing that grows with time."""

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

        `start` and `caution` belong to what the strength is of. For the score, devices keep them and `push` as they
        are; an evaluation chooses them anew on other machines.
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
        self._own = self._fleet  # where the own peaks would have the bar
        self._rows = 0  # of the block that goes on
        self._highest = math.log(LEAST)  # in it
        self._pushed = PUSHED_AT_FIRST  # 0: the fleet's bar; 1: the own one; below 0: cases saved
        self._caution = caution
        self._memory = 0.0  # how far above the bar the last case's peak still is
        self._quiet = self._rows_of_case  # rows since a case opened
        self._active = False

    @property
    def active(self) -> bool:
        """Say whether a case that opened still holds."""
        return self._active

    def resume(self) -> None:
        """Resume a case that was open when the agent stopped: it opens no other, and holds while it is loud."""
        self._active = True

    def step(self, strength: float | None) -> Decision:
        """Evaluate the next row. None, or what is no number, says nothing was measured: it opens no case."""
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
        """Restore an exported state. Raises ValueError with what is wrong, and then has changed nothing.

        The rate may be another than the one under which the state was made: the peaks serve every rate.
        """
        if state.get("version") != STATE_VERSION or state.get("step_s") != self._step_s:
            raise ValueError("alarms: state is of another version or step")
        peaks = state.get("peaks")
        if not isinstance(peaks, list) or len(peaks) > BLOCKS:
            raise ValueError(f"alarms: peaks must be a list of at most {BLOCKS}")
        bound = math.log(MOST)
        kept = [_number(peak, "peaks", -bound, bound) for peak in peaks]
        highest = _number(state.get("highest"), "highest", -bound, bound)
        pushed = _number(state.get("pushed"), "pushed", -SAVED, MOST_PUSHED)
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
        """Move on by a row that lay `above` the bar, all in logarithms."""
        if alarm:
            self._quiet, self._pushed = 0, min(MOST_PUSHED, self._pushed + self._push)
        if alarm or self._memory > 0:
            self._memory = max(self._memory, ABOVE_PEAK * above)
        self._memory = self._memory * self._fade if self._memory > FADED else 0.0
        self._pushed = max(-SAVED, self._pushed - self._release)
        self._caution *= self._settle
        self._highest = max(self._highest, loud)
        self._rows += 1
        if self._rows >= self._rows_of_block:
            self._resume([*self._peaks, self._highest])
            self._rows, self._highest = 0, math.log(LEAST)

    def _resume(self, peaks: list[float]) -> None:
        """Place the own bar: the n-th highest of the peaks, where n of them are what was set for their time."""
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
