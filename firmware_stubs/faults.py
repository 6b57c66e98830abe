"""Faults that can be injected into virtual hardware. Each has the uptime at which the customer would notice it."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFilling:
    """From `start_s` on, a program writes until the first write fails, `lasts_s` later.

    With `stops_at` it stops when it has used this share of the free space, and no write fails.
    """

    start_s: float
    lasts_s: float
    stops_at: float = 1.0
    code: str = "disk.filling"
    impact: str = "the first write fails (ENOSPC)"

    @property
    def impact_s(self) -> float:
        """Uptime of the first failing write."""
        return self.start_s + self.lasts_s

    def share(self, uptime_s: float) -> float:
        """Return the used share of the free space, 0..1; it is not freed."""
        return min(self.stops_at, max(0.0, (uptime_s - self.start_s) / self.lasts_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLeak:
    """From `start_s` on, a program grows until the kernel kills it, `lasts_s` later; then its memory is free again."""

    start_s: float
    lasts_s: float
    code: str = "memory.leak"
    impact: str = "the kernel kills the program (out of memory)"

    @property
    def impact_s(self) -> float:
        """Uptime at which the program is killed."""
        return self.start_s + self.lasts_s

    def share(self, uptime_s: float) -> float:
        """Return the leaked share of the available memory, 0..1."""
        if uptime_s >= self.impact_s:
            return 0.0
        return max(0.0, (uptime_s - self.start_s) / self.lasts_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoolingLost:
    """From `start_s` on, cooling degrades (loose heat sink, blocked vents) until the device throttles itself."""

    start_s: float
    lasts_s: float
    code: str = "thermal.cooling"
    impact: str = "the device throttles itself (80 °C)"
    resists_at_last: float = 6.0

    @property
    def impact_s(self) -> float:
        """Uptime from which a device with some load stays at 80 °C or more."""
        return self.start_s + self.lasts_s

    def resists(self, uptime_s: float) -> float:
        """Return the factor on the thermal resistance from board to air, 1 or more."""
        return 1.0 + (self.resists_at_last - 1.0) * min(1.0, max(0.0, (uptime_s - self.start_s) / self.lasts_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpFault:
    """From `start_s` on, a fault of a pump beside the device grows; at full strength the process is disturbed."""

    kind: str  # one of firmware_stubs.pump.KINDS
    start_s: float
    lasts_s: float
    code: str = "machine.anomaly"
    impact: str = "the pump no longer delivers what the process needs"

    @property
    def impact_s(self) -> float:
        """Uptime at which the fault has reached its full strength."""
        return self.start_s + self.lasts_s

    def strength(self, uptime_s: float) -> float:
        """Return the strength, 0..1; the fault stays."""
        return min(1.0, max(0.0, (uptime_s - self.start_s) / self.lasts_s))


Fault = DiskFilling | MemoryLeak | CoolingLost | PumpFault
