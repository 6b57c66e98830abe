"""Fault injection: which fault, where and when. The same seed gives the same faults at the same times."""

import random
import signal
import sys
import time
from collections.abc import Callable

from tests.chaos.postgres import Postgres
from tests.chaos.programs import Program, Setup

FIRST_AFTER_S = 2.0
EVERY_S = (1.0, 3.0)
LASTS_S = (0.0, 3.0)
AGENT_START_S = 2.0  # a disk stays read-only for so much longer, so that the agent starts on it
SLOW_S = (0.05, 0.8)
WEIGHTS = {"kill": 56, "cut": 12, "slow": 10, "fill": 8, "protect": 8, "clock": 8}


class FaultInjector:
    """Injects random faults, and has them repaired while it runs. `kills` is how many processes it has killed."""

    def __init__(self, setup: Setup, rng: random.Random) -> None:
        self.kills = 0
        self._setup, self._rng = setup, rng

    def run(self, seconds: float, sleep: Callable[[float], None]) -> None:
        """Inject a fault every few seconds, and report each on stderr. Raises what `sleep` raises."""
        start_s, next_s = time.monotonic(), FIRST_AFTER_S
        while next_s < seconds:
            while time.monotonic() - start_s < next_s:
                self._setup.repairs.perform_due()
                sleep(0.05)
            report(f"{next_s:6.1f} s  {self.inject_one()}")
            next_s += self._rng.uniform(*EVERY_S)

    def inject_one(self) -> str:
        """Inject a random fault; return what it was."""
        setup, rng = self._setup, self._rng
        agent, seconds = rng.choice(setup.agents), rng.uniform(*LASTS_S)
        targets: list[Program | Postgres] = [agent, agent, setup.broker, setup.cloud]
        targets += [setup.postgres] if setup.postgres else []
        side = rng.choice(["devices", "cloud"])
        fault = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        target = rng.choice(targets)
        inject: dict[str, Callable[[], str]] = {
            "kill": lambda: self.kill(target, seconds),
            "cut": lambda: self._cut(side, seconds),
            "slow": lambda: self._slow(side, seconds),
            "fill": lambda: self.fill(agent, seconds),
            "protect": lambda: self.protect(agent, seconds + AGENT_START_S),
            "clock": lambda: self._step_clock(agent),
        }
        return inject[fault]()

    def kill(self, target: Program | Postgres, seconds: float) -> str:
        """Kill a process, and start it again after so many seconds."""
        name = target.name if isinstance(target, Program) else "database"
        was_running = target.kill()
        self.kills += was_running
        self._setup.repairs.add(f"{name} is killed", seconds, target.start)
        return f"killed {name} for {seconds:.1f} s" if was_running else f"{name} is already killed"

    def fill(self, agent: Program, seconds: float) -> str:
        """Fill the disk of a device."""
        disk = self._setup.disks[agent.name]
        if not disk.available:
            return "no disk to fill: mounting is not allowed here"
        if not disk.fill():
            return f"disk of {agent.name} can't be filled: it is read-only"
        self._setup.repairs.add(f"disk of {agent.name} is full", seconds, disk.empty)
        return f"disk of {agent.name} full for {seconds:.1f} s"

    def protect(self, agent: Program, seconds: float) -> str:
        """Kill a device, and start it on a read-only disk."""
        disk = self._setup.disks[agent.name]
        if not disk.available:
            return "no disk to make read-only: mounting is not allowed here"
        self.kills += agent.kill()
        protected = disk.set_read_only()
        agent.start()
        if not protected:
            return f"killed {agent.name}; its disk can't be made read-only"
        self._setup.repairs.add(f"disk of {agent.name} is read-only", seconds, disk.set_writable)
        return f"killed {agent.name}; its disk is read-only for {seconds:.1f} s"

    def _cut(self, side: str, seconds: float) -> str:
        link = self._setup.links[side]
        link.cut()
        self._setup.repairs.add(f"network of the {side} is cut", seconds, link.restore)
        return f"network of the {side} cut for {seconds:.1f} s"

    def _slow(self, side: str, seconds: float) -> str:
        link, delay_s = self._setup.links[side], self._rng.uniform(*SLOW_S)
        link.slow(delay_s)
        self._setup.repairs.add(f"network of the {side} is slow", seconds, lambda: link.slow(0.0))
        return f"network of the {side} slow by {delay_s:.2f} s for {seconds:.1f} s"

    def _step_clock(self, agent: Program) -> str:
        agent.signal(signal.SIGUSR1)
        return f"clock of {agent.name} stepped by a year"


def report(line: str) -> None:
    """Print a line of progress on stderr."""
    print(line, file=sys.stderr, flush=True)
