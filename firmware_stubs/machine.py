"""Virtual hardware: a small Linux device behind the same port as the real one, with behaviour that misleads detectors.

Its log grows and is rotated, its garbage collector frees memory periodically, its load has peaks: all of it healthy.
"""

import math
import random
from collections.abc import Mapping

from edge_agent.clock import Clock
from edge_agent.collectors.machine import Disk, Memory, Mount, Nic, Space, Temperature
from firmware_stubs.faults import MIB, CoolingLost, DiskFilling, Fault, MemoryLeak
from firmware_stubs.thermal import HEAT_SINK, SENSOR_STEP, SETTLE_S, STEP_S, Board

_CORES = 4
_RAM = 1024.0 * MIB
_AVAILABLE = 640.0 * MIB
_DATA_FREE = 512.0 * MIB
_LOG_ROTATES_S, _LOG_SIZE = 1800.0, 80.0 * MIB
_COLLECTS_S, _GARBAGE = 240.0, 24.0 * MIB


class VirtualMachine:
    """A device with four cores, 1 GiB of memory, a root and a data file system. Readings follow its clock."""

    def __init__(self, clock: Clock, seed: str, faults: tuple[Fault, ...] = ()) -> None:
        self._clock, self._seed, self._faults = clock, seed, faults
        self._busy_s = dict.fromkeys(("user", "system", "iowait", "idle"), 0.0)
        self._written = self._sent = 0.0
        self._at_s = 0.0
        self._board = Board(HEAT_SINK, 0.0, 0.0)
        self._board_at_s = float("-inf")

    def _advance(self) -> float:
        """Advance to now: increase the totals by what the load since the last reading used."""
        now_s = self._clock.now().uptime_s
        elapsed_s, self._at_s = max(0.0, now_s - self._at_s), now_s
        load = self._load(now_s)
        for mode, share in (
            ("user", load * 0.7),
            ("system", load * 0.25),
            ("iowait", load * 0.05),
            ("idle", 1 - load),
        ):
            self._busy_s[mode] += elapsed_s * _CORES * share
        self._written += elapsed_s * 20_000 * (1 + load)
        self._sent += elapsed_s * 4_000 * (1 + 2 * load)
        return now_s

    def _load(self, now_s: float) -> float:
        """Share of all cores: a slow wave with noise, and a peak of half a minute every ten."""
        peak = 0.5 if now_s % 600 < 30 else 0.0
        return min(0.98, 0.12 + 0.05 * math.sin(now_s / 300) + 0.04 * self._noise("load", now_s) + peak)

    def _noise(self, name: str, now_s: float) -> float:
        """Uniform in -1..1, the same for the same second of the same device."""
        return random.Random(f"{self._seed}/{name}/{int(now_s)}").uniform(-1, 1)

    def _used_share(self, kind: type[DiskFilling | MemoryLeak], now_s: float) -> float:
        return max((fault.share(now_s) for fault in self._faults if isinstance(fault, kind)), default=0.0)

    def _warm_up(self, now_s: float) -> None:
        """Let the board follow the load second by second, up to now; from equilibrium after a long gap."""
        if now_s - self._board_at_s > SETTLE_S:
            self._board_at_s = now_s - SETTLE_S
            self._board = Board(HEAT_SINK, self._load(self._board_at_s), self._board_at_s)
        while self._board_at_s + STEP_S <= now_s:
            self._board_at_s += STEP_S
            resists = [one.resists(self._board_at_s) for one in self._faults if isinstance(one, CoolingLost)]
            self._board.step(self._load(self._board_at_s), self._board_at_s, resists=max(resists, default=1.0))

    def cpu_times(self) -> Mapping[str, float]:
        """Seconds of all cores together by mode."""
        self._advance()
        return dict(self._busy_s)

    def load_average(self) -> tuple[float, float, float]:
        """The present load three times: the load has been constant."""
        load = self._load(self._clock.now().uptime_s) * _CORES
        return load, load, load

    def memory(self) -> Memory:
        """Memory use that a garbage collector varies; a leak is not freed."""
        now_s = self._advance()
        garbage = _GARBAGE * (now_s % _COLLECTS_S) / _COLLECTS_S
        leaked = (_AVAILABLE - _GARBAGE) * self._used_share(MemoryLeak, now_s)
        available = max(0.0, _AVAILABLE - garbage - leaked + 2 * MIB * self._noise("memory", now_s))
        cached = min(200.0 * MIB, available)
        return Memory(_RAM, available, _RAM - available, available - cached, cached, 8.0 * MIB, 0.0, 0.0)

    def kernel_counters(self) -> Mapping[str, float]:
        """Counters of a device without swap that starts a program every five seconds."""
        return {"pgmajfault": 0.0, "processes": 2_000.0 + self._clock.now().uptime_s / 5}

    def mounts(self) -> tuple[Mount, ...]:
        """Root and data, both writable."""
        return Mount("/", "/dev/mmcblk0p2", False), Mount("/var/data", "/dev/mmcblk0p3", False)

    def space(self, mountpoint: str) -> Space:
        """Space of root, with a rotated log, or of data, which a fault fills."""
        now_s = self._advance()
        if mountpoint == "/":
            used = 3000.0 * MIB + _LOG_SIZE * (now_s % _LOG_ROTATES_S) / _LOG_ROTATES_S
            return Space(used, 4096.0 * MIB - used, 0.0, 90_000.0, 160_000.0)
        free = _DATA_FREE * (1 - self._used_share(DiskFilling, now_s))
        return Space(1024.0 * MIB - free, free, 0.0, 1_200.0, 60_000.0)

    def disks(self) -> Mapping[str, Disk]:
        """One memory card."""
        self._advance()
        return {"mmcblk0": Disk(50.0 * MIB, self._written, 4_000.0, self._written / 16_384, self._written / 8e6)}

    def nics(self) -> Mapping[str, Nic]:
        """One wireless interface."""
        self._advance()
        return {"wlan0": Nic(self._sent * 2, self._sent, self._sent / 300, self._sent / 400, 0.0, 0.0, 0.0, 0.0)}

    def temperatures(self) -> Mapping[str, Temperature]:
        """Chip temperature in sensor steps; it follows the load within minutes."""
        self._warm_up(self._clock.now().uptime_s)
        return {"cpu_thermal/0": Temperature(round(self._board.chip / SENSOR_STEP) * SENSOR_STEP, None)}

    def fans(self) -> Mapping[str, float]:
        """No fans: most boards are passively cooled."""
        return {}

    def processes(self) -> float:
        """A nearly constant number of processes."""
        return 84.0 + round(self._noise("processes", self._clock.now().uptime_s))

    def open_files(self) -> tuple[float, float | None] | None:
        """Some hundred open files of a kernel without a limit, as newer ones are."""
        return 900.0 + round(20 * self._noise("files", self._clock.now().uptime_s)), None

    def fullest_process(self) -> float | None:
        """File descriptor use far below the limit."""
        return 0.04
