"""One machine beside the device: learns its healthy start, then compares every second with it.

What flows in: `{series: value}` of each second. What flows out: a verdict while the alarm is open, and remarks, each a
line for the log.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_agent.detection.machine.alarm import Alarm
from edge_agent.detection.machine.calibration import Calibration, calibrate
from edge_agent.detection.machine.channels import Channels, Mask, seconds_between_changes
from edge_agent.detection.machine.classifier import Classifier
from edge_agent.detection.machine.explanation import machine_verdict
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
GAP_S = 5.0  # without samples: the windows start anew
SOONEST_S = 0.75  # samples that come sooner are left out
LATEST_S = 1.5  # mean between samples from which a machine is not evaluated
_PERIOD_SAMPLES = 30.0  # over which the mean is taken


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
        self._period_s = 1.0
        self._last_s: float | None = None
        self._evaluated = True
        self._verdict: Verdict | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        self._start = np.empty((self.settings.start_s, len(self._series)), np.float32)
        self._learned_rows = 0
        self._used = np.arange(len(self._series))
        self._scorer: Scorer | None = None
        self._alarm = Alarm()
        self._verdict = None

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
        self._remark(f"reset; learning for {duration(self.settings.start_s)}")

    def resume(self, finding: Finding) -> None:
        """Continue a finding that was open when the agent stopped, if the machine's state was restored."""
        if self._scorer:
            self._alarm.resume()
            self._verdict = resumed_verdict(finding)

    def step(self, values: Mapping[str, float], now_s: float) -> Verdict | None:
        """Take the readings of one sample; return the verdict while the alarm is open."""
        if not self._in_time(now_s):
            return self._verdict
        found = self._channels.step(values)
        if self._channels.silent:
            return None  # nothing is known of this second: it opens nothing, and ends nothing
        if found is None:
            return self._verdict
        row, present = found
        if self._scorer is None:
            self._learn(row)
            return None
        return self._evaluate(self._scorer, row[self._used], present[self._used])

    def _in_time(self, now_s: float) -> bool:
        """Return whether this sample counts: about a second after the last one."""
        passed_s, before_s = (1.0 if self._last_s is None else now_s - self._last_s), self._last_s
        if before_s is not None and passed_s < SOONEST_S:
            return False
        self._last_s = now_s
        if passed_s > GAP_S and self._scorer:
            self._scorer.restart()
        self._period_s += (min(passed_s, 60.0) - self._period_s) / _PERIOD_SAMPLES
        evaluated = self._period_s < LATEST_S
        if evaluated != self._evaluated:
            self._evaluated = evaluated
            every = f"readings come every {self._period_s:.1f} s"
            self._remark(
                "readings come every second again" if evaluated else f"{every}, not every second; not evaluated"
            )
        return evaluated

    def _learn(self, row: Array) -> None:
        self._start[self._learned_rows] = row
        self._learned_rows += 1
        if self._learned_rows == len(self._start):
            self._finish_start(self._start.astype(np.float64))

    def _finish_start(self, rows: Array) -> None:
        """Calibrate on the healthy start; channels that did not change in it are left out."""
        moved = rows.std(axis=0) > 0.0
        for name in np.array(self._series)[~moved]:
            self._remark(f"channel {name} did not change in the healthy start; evaluated without it")
        if not moved.any():
            self.reset()
            return
        self._used = np.flatnonzero(moved)
        for place in self._used:
            every_s = seconds_between_changes(rows[:, place])
            if every_s >= 2.0:
                self._remark(f"channel {self._series[place]} changes every {every_s:.0f} s, not every second")
        self._watch(calibrate(rows[:, moved]))
        self._report_start()

    def _watch(self, calibration: Calibration) -> None:
        self._scorer = Scorer(calibration)
        self._start, self._learned_rows = self._start[:0], 0

    def _report_start(self) -> None:
        assert self._scorer is not None
        certainty = self._scorer.calibration.certainty
        learned = f"learned in {duration(self.settings.start_s)}, {certainty:.0%} sure that it was healthy"
        command = f"edge-agent machine reset {shlex.quote(self.settings.name)}"
        again = f"; to start again: {command}" if certainty < SURE else ""
        self._remark(learned + again)

    def _evaluate(self, scorer: Scorer, row: Array, present: Mask) -> Verdict | None:
        score = scorer.step(row, present)
        if not scorer.warm:
            return self._verdict
        if self._classifier:
            score = self._classifier.step(score, self._used)
        alarm = self._alarm.step(score.value)
        self._verdict = self._explained(scorer, score) if alarm else None
        return self._verdict

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
