"""One chaos run on one database: inject faults, recover, account. An error or a signal ends a step, never the run."""

import contextlib
import random
import traceback
from collections.abc import Iterator

from tests.chaos.accounting import Accounting, account, account_for_nothing_stored
from tests.chaos.faults import FaultInjector, report
from tests.chaos.interrupt import Interrupt, InterruptedRunError
from tests.chaos.programs import Setup

SETTLE_S = 8.0  # without faults in the end, before the devices are stopped and drained
REPORTED = 20  # missing records that are listed


class ChaosRun:
    """What a run has found. `error` is what ended a step early, None if nothing did.

    Unless all devices were drained, a record that is neither stored nor declared lost may still be on its device.
    """

    def __init__(self, interrupt: Interrupt, settle_s: float = SETTLE_S) -> None:
        self._interrupt = interrupt
        self.kills = 0
        self._settle_s = settle_s
        self.error: str | None = None
        self.accounting = Accounting()
        self.drained = False

    def counts(self) -> dict[str, int]:
        """Return the accounting as the numbers of the last line."""
        found, not_found = self.accounting, len(self.accounting.missing)
        return {
            "accepted": found.accepted.total(),
            "stored": found.stored,
            "declared_lost": found.declared_lost.total(),
            "missing": not_found if self.drained else 0,
            "duplicates": found.duplicates,
            "unverified": 0 if self.drained else not_found,
            "kills": self.kills,
        }

    def perform(self, setup: Setup, rng: random.Random, seconds: float) -> None:
        """Do all steps. Raises nothing but what accounting raises if the logs of accepted records can't be read."""
        injector = FaultInjector(setup, rng)
        with self._recorded():
            injector.run(seconds, self._interrupt.sleep)
        self.kills = injector.kills
        with self._recorded():
            self._recover(setup)
        self.accounting = account_for_nothing_stored(setup.accepted_logs())
        with self._recorded():
            self.accounting = account(setup.accepted_logs(), setup.database_url)
        for number in self.accounting.missing[:REPORTED]:
            report(f"{'missing' if self.drained else 'unverified'}: {number}")

    def _recover(self, setup: Setup) -> None:
        """Repair everything, and let the devices send what they hold.

        Raises SetupError, OSError and InterruptedRunError.
        """
        setup.repairs.perform_all()
        for program in (setup.broker, setup.cloud, *setup.agents):
            program.start()
        report(f"everything is repaired; {self._settle_s:.0f} s without faults")
        self._interrupt.sleep(self._settle_s)
        for agent in setup.agents:
            with self._recorded():
                agent.stop()
        report("the devices are stopped; sending what their outboxes hold")
        if not setup.drain(self._interrupt.sleep):
            report("not everything was acknowledged")
        setup.cloud.stop()
        self.drained = True

    @contextlib.contextmanager
    def _recorded(self) -> Iterator[None]:
        """Record an exception as the error of this run, instead of raising it; the first one counts."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, InterruptedRunError):
                traceback.print_exc()
            self.error = self.error or f"{type(error).__name__}: {error}"
            report(f"ended early by {type(error).__name__}: {error}")
