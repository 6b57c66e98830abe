"""One machine beside the device: learns its healthy start, then compares every second with it.

What flows in: `{series: value}` of each second. What flows out: a verdict while the alarm is open, and remarks, each a
line for the log.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_agent.detection.machine.alarm import Alarm
from edge_agent.detection.machine.calibration import Calibration, calibrate
from edge_agent.detection.machine.channels import Channels, Mask, filled, seconds_between_changes
from edge_agent.detection.machine.classifier import Classifier
from edge_agent.detection.machine.explanation import machine_verdict
from edge_agent.detection.machine.sample_rate import SampleRate, Timing
from edge_agent.detection.machine.score import Score, Scorer
from edge_agent.detection.machine.state import LearnedState, read_state, written_state
from edge_agent.detection.machine.statistics import Array
from edge_agent.detection.network import Network
from edge_agent.detection.verdicts import Verdict, resumed_verdict
from edge_agent.protocol.records import Finding
from edge_agent.protocol.wording import duration

SHORTEST_START_S = 2000
DEFAULT_START_S = 3600
SURE = 0.8  # below it a healthy start is reported as unsteady
MOST_MISSING = 0.1  # of the healthy start without a reading of a channel, to evaluate by it
KEPT_S = 3600  # an alarm whose channels are missing is kept for this long, like any finding without readings


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSettings:
    """`channels` maps what a channel is called (flow) to its series. `start_s`: length of the healthy start."""

    name: str
    channels: Mapping[str, str]
    start_s: int = DEFAULT_START_S


class Machine:
    """Learns and evaluates one machine; memory is bounded by the length of its healthy start."""

    def __init__(self, settings: MachineSettings, network: Network | None = None) -> None:
        """`network` is a classifier over the same statistics; without one the statistics alone decide."""
        self.settings = settings
        self._series = tuple(settings.channels.values())
        self._channels = Channels(settings.name, self._series)
        self._classifier = Classifier(network, tuple(settings.channels)) if network else None
        self._rate, self._rate_wrong = SampleRate(), ""
        self._verdict: Verdict | None = None  # of the open alarm
        self._returned: Verdict | None = None  # by the last sample that counted
        self.must_save = False  # the state changed so that a power cut must not bring back the one before
        self._start_anew()

    def _start_anew(self) -> None:
        self._start = np.empty((self.settings.start_s, len(self._series)), np.float32)
        self._learned_rows = 0
        self._used = np.arange(len(self._series))
        self._scorer: Scorer | None = None
        self._alarm = Alarm()
        self._kept_s = 0  # of an open alarm, while a channel that carries it is missing
        self._verdict = self._returned = None

    @property
    def learning(self) -> bool:
        """Whether the healthy start is still being learned."""
        return self._scorer is None

    def take_remarks(self) -> list[str]:
        """Return the lines for the log since the last call."""
        remarks, self._channels.remarks = self._channels.remarks, []
        return remarks

    def reset(self) -> None:
        """Forget what was learned and learn a new healthy start."""
        self._start_anew()
        self.must_save = True
        self._remark(f"reset; learning for {self._start_words}")

    def resume(self, finding: Finding) -> None:
        """Continue a finding that was open when the agent stopped, if the machine's state was restored."""
        if self._scorer:
            self._alarm.resume()
            self._verdict = self._returned = resumed_verdict(finding)

    def step(self, values: Mapping[str, float], now_s: float) -> Verdict | None:
        """Take the readings of one sample; return the verdict while the alarm is open."""
        timing = self._rate.step(now_s)
        self._note_rate()
        if timing is Timing.TOO_SLOW:
            self._returned = self._kept_verdict(values)
        elif timing is Timing.IN_TIME:
            self._returned = self._step_second(values)
        return self._returned

    def _step_second(self, values: Mapping[str, float]) -> Verdict | None:
        """Take the readings of one second."""
        found = self._channels.step(values)
        if self._channels.silent:
            return None  # nothing is known of this second: it opens nothing, and ends nothing
        if found is None:
            return self._verdict
        row, present = found
        if self._scorer is None:
            self._learn(row, present | self._channels.read)
            return None
        if self._channels.restarts:
            self._scorer.restart()
        return self._evaluate(self._scorer, row[self._used], present[self._used])

    def _note_rate(self) -> None:
        """Start the windows anew after a gap, and report when the machine can't be evaluated at the rate of samples."""
        if self._rate.restarts and self._scorer:
            self._scorer.restart()
        if not self._rate.changed:
            return
        if self._rate_wrong:
            self._rate_wrong = ""
            self._remark("readings come every second again; evaluated")
            return
        self._rate_wrong = f"readings come every {self._rate.every_s:.1f} s, not every second"
        self._remark(
            f"{self._rate_wrong}; not evaluated; set sampling.period_s = 1, or look why the agent is over its budget"
        )

    def _kept_verdict(self, values: Mapping[str, float]) -> Verdict | None:
        """Return the verdict of an open alarm while the rate is wrong, which it says; None without readings."""
        if self._verdict is None or not any(series in values for series in self._series):
            return None
        return replace(self._verdict, not_evaluated=self._rate_wrong)

    def _learn(self, row: Array, known: Mask) -> None:
        self._start[self._learned_rows] = np.where(known, row, np.nan)
        self._learned_rows += 1
        if self._learned_rows == len(self._start):
            self._finish_start(self._start.astype(np.float64))

    def _finish_start(self, rows: Array) -> None:
        """Calibrate on the healthy start; channels that were missing or did not change in it are left out."""
        missing = np.isnan(rows).mean(axis=0)
        rows = filled(rows)
        read = missing <= MOST_MISSING
        used = read & (np.where(read, rows, 0.0).std(axis=0) > 0.0)
        for place in np.flatnonzero(~used):
            why = "did not change" if read[place] else f"had no reading for {missing[place]:.0%} of the time"
            self._remark(f"channel {self._series[place]} {why} in the healthy start; evaluated without it")
        if not used.any():
            self._start_anew()
            self._remark(f"no channel is left to evaluate; look at its sensors; learning again for {self._start_words}")
            return
        self._used = np.flatnonzero(used)
        for place in self._used:
            every_s = seconds_between_changes(rows[:, place])
            if every_s >= 2.0:
                self._remark(f"channel {self._series[place]} changes every {every_s:.0f} s, not every second")
        self._watch(calibrate(rows[:, used]))
        self.must_save = True
        self._report_start()

    @property
    def _start_words(self) -> str:
        return duration(self.settings.start_s)

    def _watch(self, calibration: Calibration) -> None:
        self._scorer = Scorer(calibration)
        self._start, self._learned_rows = self._start[:0], 0

    def _report_start(self) -> None:
        assert self._scorer is not None
        certainty = self._scorer.calibration.certainty
        learned = f"learned in {self._start_words}, {certainty:.0%} sure that it was healthy"
        command = f"edge-agent machine reset {shlex.quote(self.settings.name)}"
        again = f"; to start again: {command}" if certainty < SURE else ""
        self._remark(learned + again)

    def _evaluate(self, scorer: Scorer, row: Array, present: Mask) -> Verdict | None:
        score = scorer.step(row, present)
        if not scorer.warm:
            return self._verdict
        self._verdict = replace(self._verdict, not_evaluated="") if self._verdict else None
        if self._classifier and scorer.full:
            score = self._classifier.step(score, self._used)
        if self._alarm.open and score.value < self._alarm.raised:
            if not scorer.settled:
                return self._verdict
            if self._carrier_missing(present):
                return self._verdict if self._carrier_read() else None
        alarm = self._alarm.step(score.value)
        self._verdict = self._explained(scorer, score) if alarm else None
        return self._verdict

    def _carrier_missing(self, present: Mask) -> bool:
        """Return whether a channel of the open alarm is missing: the others can't tell that the fault has ended."""
        carriers = self._verdict.basis.evaluated if self._verdict else ()
        absent = [self._series[place] for place in self._used[~present]]
        missing = not set(carriers).isdisjoint(absent)
        self._kept_s = self._kept_s + 1 if missing else 0
        return missing and self._kept_s <= KEPT_S

    def _carrier_read(self) -> bool:
        """Return whether a channel of the open alarm had a reading in this second."""
        carriers = self._verdict.basis.evaluated if self._verdict else ()
        return any(series in carriers for series, read in zip(self._series, self._channels.read, strict=True) if read)

    def _explained(self, scorer: Scorer, score: Score) -> Verdict:
        """Return the verdict of this second; while the score is below the bar, that of the last second above it."""
        if score.value < 1.0 and self._verdict:
            return self._verdict
        channels = tuple(self._series[place] for place in self._used)
        return machine_verdict(self.settings.name, channels, score, scorer.calibration, scorer.reference)

    def _remark(self, text: str) -> None:
        self._channels.remarks.append(f"machine {self.settings.name}: {text}")

    def export_state(self) -> dict[str, object]:
        """Return what outlives a restart, fit for JSON."""
        learned = LearnedState(
            channels=self._series,
            start=self._start[: self._learned_rows],
            used=self._used,
            calibration=self._scorer.calibration if self._scorer else None,
            reference=self._scorer.reference if self._scorer else None,
            alarm=self._alarm.export_state(),
        )
        return written_state(learned)

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError, and then changes nothing: the machine learns anew."""
        learned = read_state(state, self._series, self.settings.start_s)
        alarm = Alarm()
        alarm.restore_state(learned.alarm)
        self._alarm, self._used = alarm, learned.used
        if learned.calibration is not None and learned.reference is not None:
            self._watch(learned.calibration)
            assert self._scorer is not None
            self._scorer.reference = learned.reference
        else:
            self._learned_rows = len(learned.start)
            self._start[: self._learned_rows] = learned.start
