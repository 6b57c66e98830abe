"""Clock rule: no time server has synchronised the clock for a long time."""

from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Finding
from edge_agent.protocol.wording import duration

LOST_FOR_S = (
    3600.0  # the kernel itself waits for hours before it calls a clock unsynchronised (adjtimex(2), maxerror of 16 s)
)
NEVER_FOR_S = 6 * 3600.0


@dataclass(slots=True)
class ClockRule:
    """Stores whether the clock has been synchronised in this boot."""

    _boot_id: str = ""
    _was_synced: bool = False

    def step(self, now: Instant, at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
        """Yield a verdict if the clock was synchronised and no longer is; of severity info if it never was."""
        if now.boot_id != self._boot_id:
            self._boot_id, self._was_synced = now.boot_id, False
        self._was_synced = self._was_synced or now.synced
        lost_s = timer.lasted_s(("unsynchronised", now.boot_id), not now.synced, at_s)
        if lost_s is not None and self._was_synced and lost_s >= LOST_FOR_S:
            yield _unsynchronised(
                f"the clock has not been synchronised with a time server for {duration(lost_s)}", None
            )
        elif lost_s is not None and not self._was_synced and now.uptime_s >= NEVER_FOR_S:
            yield _unsynchronised(
                "the clock has not been synchronised with a time server since the device booted", Severity.INFO
            )

    def resume(self, finding: Finding, timer: HoldTimer) -> None:
        """Resume a finding that was open when the agent stopped. Another boot resets it."""
        if finding.fault == "clock.unsynchronised":
            self._boot_id, self._was_synced = finding.at.boot_id, finding.severity is not Severity.INFO
            timer.resume(("unsynchronised", self._boot_id), LOST_FOR_S)


def _unsynchronised(reason: str, severity: Severity | None) -> Verdict:
    return Verdict(
        fault="clock.unsynchronised",
        component="clock",
        confidence=1.0,
        reason=reason,
        severity=severity,
        basis=Basis(evaluated=()),
    )
