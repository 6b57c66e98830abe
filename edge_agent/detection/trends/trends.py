"""Trends: the time until a quantity reaches its limit, with an interval.

What flows in: samples of features, with their instant. What flows out: a verdict for each quantity that approaches its
limit steadily.

    sample ─> limits (headroom of each) ─> multi-scale windows ─> robust line ─> steady, near, narrow? ─> verdict
                                         └> recurring low: known to recover ─> no verdict
    verdict ─> features (window, past, companions) ─> network: will it get there? ─> decision: a case or a note

Fine windows use the uptime, and are cleared at boot and after a suspend; coarse ones use the operating time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from edge_agent.detection.network import Network
from edge_agent.detection.trends.companions import Companions
from edge_agent.detection.trends.decision import opens_case
from edge_agent.detection.trends.expected import Expected, ExpectedTrends
from edge_agent.detection.trends.extrapolation import Extrapolation, Times, latest_s, likely_s
from edge_agent.detection.trends.limits import Limit, limits_in
from edge_agent.detection.trends.multiscale_window import MultiScaleWindow, number
from edge_agent.detection.trends.operating_time import OperatingTime
from edge_agent.detection.trends.persistence import (
    Answer,
    features_of,
    is_due,
    probability_of,
    with_history,
    with_probability,
)  # fmt: skip
from edge_agent.detection.trends.recurring_low import KEPT_S, RecurringLow
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.wording import duration

STATE_VERSION = 2
READABLE_VERSIONS = (1, 2)  # 1 has no past of the series, and nothing that is expected
SETTLE_S = 180.0  # after boot and resume programs start, caches fill and clocks step: no trends are evaluated
JUMP_S = 120.0  # between two samples: treated as a suspend
MOST_LIMITS = 64  # quantities; the one without readings for longest is evicted
FURTHEST_S = 30 * 86_400.0  # impacts beyond the horizon have severity info, up to here


class Trends:
    """Keeps the extrapolation of each quantity, on both clocks."""

    def __init__(self, period_s: float, horizon_s: float, network: Network | None = None) -> None:
        """`horizon_s`: how far ahead a trend may warn; later impacts have severity info.

        `network` gives the probability that a trend reaches its limit, as a logit, from persistence features.
        """
        self._network = network
        self._companions = Companions()
        self.expected = ExpectedTrends()
        self._period_s, self._horizon_s = period_s, horizon_s
        self._jump_s = max(JUMP_S, 3 * period_s)
        self._extrapolations: dict[tuple[str, str], Extrapolation] = {}
        self._operating_time = OperatingTime()
        self._last: Instant | None = None
        self._stepped_at_s = 0.0
        self._settled_at_s = SETTLE_S

    def step(self, values: Mapping[str, float], now: Instant) -> list[Verdict]:
        """Return the nearest impact of each quantity that approaches its limit."""
        if self._is_out_of_order(now):
            return []
        self._handle_gap(now)
        times = Times(
            uptime_s=now.uptime_s,
            operating_s=self._operating_time.at(now),
            settled=now.uptime_s >= self._settled_at_s,
            furthest_s=max(FURTHEST_S, self._horizon_s),
        )
        passed_s, self._stepped_at_s = now.uptime_s - self._stepped_at_s, now.uptime_s
        self._companions.step(values, min(max(passed_s, 0.0), self._jump_s))
        return [verdict for limit in limits_in(values) if (verdict := self._verdict(limit, times, now))]

    def _verdict(self, limit: Limit, times: Times, now: Instant) -> Verdict | None:
        """Return the verdict of one quantity, with its probability and its severity."""
        extrapolation = self._extrapolation(limit.fault, limit.component)
        verdict = extrapolation.step(limit, times)
        if verdict is None:
            extrapolation.answer = None
            extrapolation.case_open &= times.uptime_s < extrapolation.case_kept_until_s
            return None
        if verdict.basis.window is None:
            return verdict  # the limit is reached: nothing is left to predict
        probability = self._probability(extrapolation, verdict, times)
        verdict = with_probability(verdict, probability, self._network.name if self._network else "")
        left_s, allowed = likely_s(verdict), self.expected.allowing(limit, now)
        case = extrapolation.case_open or probability is None or opens_case(probability, left_s)
        paused = case and not extrapolation.case_open and extrapolation.has_paused(verdict)
        extrapolation.case_open = case and not paused and left_s <= self._horizon_s and not allowed
        if extrapolation.case_open:
            return verdict
        why = allowed.reason if allowed else f"not in the last {duration(latest_s(verdict))}" if paused else ""
        reason = f"{verdict.reason}; {why}" if why else verdict.reason
        return replace(verdict, severity=Severity.INFO, reason=reason)

    def _probability(self, extrapolation: Extrapolation, verdict: Verdict, times: Times) -> float | None:
        """Return the answer of the network, asked again for each new window; a mean with its last answer."""
        if self._network is None:
            return None
        answer = extrapolation.answer
        if answer is not None and not is_due(answer, verdict, times.uptime_s):
            return answer.probability
        named = self._named(verdict, times)
        features = features_of(verdict, extrapolation.past, named)
        probability = None if features is None else probability_of(self._network, features)
        if probability is None:
            return None
        probability = with_history(probability, extrapolation.past.known_s())
        if answer is not None:
            probability = (probability + answer.probability) / 2
        extrapolation.answer = Answer(verdict.basis, times.uptime_s, probability)
        return probability

    def _named(self, verdict: Verdict, times: Times) -> Mapping[str, float]:
        if verdict.basis.window is None:
            return {}
        span_s = float(verdict.basis.window[0][-1] - verdict.basis.window[0][0])
        return self._companions.features(span_s, times.uptime_s)

    def asked_now(self, verdict: Verdict) -> bool:
        """Return whether the network was asked about this verdict in the last step."""
        known = self._extrapolations.get((verdict.fault, verdict.component))
        return bool(known and known.answer and known.answer.asked_at_s == self._stepped_at_s)

    def expect(self, expected: Iterable[Expected]) -> None:
        """Replace what staff expect of this device."""
        self.expected = ExpectedTrends(expected)

    def resume(self, fault: str, component: str, case_until_s: float = 0.0) -> None:
        """Resume a fault that was open when the agent stopped. The quantity had headroom before.

        `case_until_s`: uptime until which its trend stays a case while it is not detected again; 0 for a note.
        """
        extrapolation = self._extrapolation(fault, component)
        extrapolation.had_headroom = True
        extrapolation.case_open, extrapolation.case_kept_until_s = case_until_s > 0, case_until_s

    def export_state(self) -> dict[str, object]:
        """Return the persistent state, about 8 kB per quantity, fit for JSON."""
        kept = {
            key: extrapolation
            for key, extrapolation in self._extrapolations.items()
            if self._operating_time.last_s - extrapolation.seen_s < KEPT_S
        }
        extrapolations = [[*key, extrapolation.export_state()] for key, extrapolation in kept.items()]
        return {
            "version": STATE_VERSION,
            "life": self._operating_time.export_state(),
            "courses": extrapolations,
            "expected": self.expected.export_state(),
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError with the reason, and then changes nothing."""
        if state.get("version") not in READABLE_VERSIONS:
            raise ValueError("trends: state is of another version")
        operating_time, extrapolations = state.get("life"), state.get("courses")
        if not isinstance(operating_time, dict) or not isinstance(extrapolations, list):
            raise ValueError("trends: life must be a mapping, and courses a list")
        try:
            restored = {
                (str(fault), str(thing)): self._restored(extrapolation)
                for fault, thing, extrapolation in extrapolations
            }
            expected = ExpectedTrends.restored(state.get("expected", []))
            self._operating_time = OperatingTime.restored(operating_time)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"trends: {error!r}") from None
        self._extrapolations, self._last, self.expected = restored, None, expected

    def _restored(self, state: Mapping[str, object]) -> Extrapolation:
        recurring_low = RecurringLow.restored(state.get("habit"))
        seen_s = number(state.get("seen_s"))
        extrapolation = Extrapolation(
            MultiScaleWindow(self._period_s),
            recurring_low,
            had_headroom=bool(state.get("roomy")),
            restored=True,
            seen_s=seen_s,
        )
        extrapolation.windows.restore_state(state.get("levels"))
        if "past" in state:
            extrapolation.past.restore_state(state["past"])
        return extrapolation

    def _extrapolation(self, fault: str, component: str) -> Extrapolation:
        key = (fault, component)
        if key not in self._extrapolations:
            if len(self._extrapolations) >= MOST_LIMITS:  # containers add and remove file systems
                del self._extrapolations[
                    min(self._extrapolations, key=lambda known: self._extrapolations[known].seen_s)
                ]
            self._extrapolations[key] = Extrapolation(
                MultiScaleWindow(self._period_s), seen_s=self._operating_time.last_s
            )
        return self._extrapolations[key]

    def _is_out_of_order(self, now: Instant) -> bool:
        return self._last is not None and now.boot_id == self._last.boot_id and now.uptime_s <= self._last.uptime_s

    def _handle_gap(self, now: Instant) -> None:
        """Clear the fine windows after a boot or a suspend."""
        last, self._last = self._last, now
        rebooted = now.boot_id != self._operating_time.boot_id
        if rebooted:
            self._settled_at_s = SETTLE_S
        elif last is not None and now.uptime_s - last.uptime_s > self._jump_s:
            self._settled_at_s = now.uptime_s + SETTLE_S
        else:
            return
        for extrapolation in self._extrapolations.values():
            extrapolation.restart(now.uptime_s - last.uptime_s if last else 0.0)
            extrapolation.rebooted = extrapolation.rebooted or rebooted
