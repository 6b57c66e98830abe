"""Trends: the time until a quantity reaches its limit, with an interval.

What flows in: samples of features, with their instant. What flows out: a verdict for each quantity that approaches its
limit steadily.

    sample ─> limits (headroom of each) ─> multi-scale windows ─> robust line ─> steady, near, narrow? ─> verdict
                                         └> recurring low: known to recover ─> no verdict

Fine windows use the uptime, and are cleared at boot and after a suspend; coarse ones use the operating time.
"""

from collections.abc import Mapping
from dataclasses import replace

from edge_agent.detection.trends.extrapolation import Extrapolation, Times, likely_s
from edge_agent.detection.trends.limits import limits_in
from edge_agent.detection.trends.multiscale_window import MultiScaleWindow, number
from edge_agent.detection.trends.operating_time import OperatingTime
from edge_agent.detection.trends.recurring_low import KEPT_S, RecurringLow
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.instant import Instant

STATE_VERSION = 1
SETTLE_S = 180.0  # after boot and resume programs start, caches fill and clocks step: no trends are evaluated
JUMP_S = 120.0  # between two samples: treated as a suspend
MOST_LIMITS = 64  # quantities; the one without readings for longest is evicted
FURTHEST_S = 30 * 86_400.0  # impacts beyond the horizon have severity info, up to here


class Trends:
    """Keeps the extrapolation of each quantity, on both clocks."""

    def __init__(self, period_s: float, horizon_s: float) -> None:
        """`horizon_s`: how far ahead a trend may warn; later impacts have severity info."""
        self._period_s, self._horizon_s = period_s, horizon_s
        self._jump_s = max(JUMP_S, 3 * period_s)
        self._extrapolations: dict[tuple[str, str], Extrapolation] = {}
        self._operating_time = OperatingTime()
        self._last: Instant | None = None
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
        verdicts = (self._extrapolation(limit.fault, limit.component).step(limit, times) for limit in limits_in(values))
        return [self._graded(verdict) for verdict in verdicts if verdict]

    def resume(self, fault: str, component: str) -> None:
        """Resume a fault that was open when the agent stopped. The quantity had headroom before."""
        self._extrapolation(fault, component).had_headroom = True

    def export_state(self) -> dict[str, object]:
        """Return the persistent state, some hundred bytes per quantity, fit for JSON."""
        kept = {
            key: extrapolation
            for key, extrapolation in self._extrapolations.items()
            if self._operating_time.last_s - extrapolation.seen_s < KEPT_S
        }
        extrapolations = [[*key, extrapolation.export_state()] for key, extrapolation in kept.items()]
        return {"version": STATE_VERSION, "life": self._operating_time.export_state(), "courses": extrapolations}

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError with the reason, and then changes nothing."""
        if state.get("version") != STATE_VERSION:
            raise ValueError("trends: state is of another version")
        operating_time, extrapolations = state.get("life"), state.get("courses")
        if not isinstance(operating_time, dict) or not isinstance(extrapolations, list):
            raise ValueError("trends: life must be a mapping, and courses a list")
        try:
            restored = {
                (str(fault), str(thing)): self._restored(extrapolation)
                for fault, thing, extrapolation in extrapolations
            }
            self._operating_time = OperatingTime.restored(operating_time)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"trends: {error!r}") from None
        self._extrapolations, self._last = restored, None

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

    def _graded(self, verdict: Verdict) -> Verdict:
        """Set severity info for an impact beyond the horizon: it opens no case yet."""
        return replace(verdict, severity=Severity.INFO) if likely_s(verdict) > self._horizon_s else verdict
