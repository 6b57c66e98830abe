"""One chaos run on one database: inject faults, recover, account. An error or a signal ends a step, never the run."""

import random
import signal
import time
import traceback
from collections.abc import Callable

from tests.chaos.accounting import Accounting, account, account_for_nothing_stored
from tests.chaos.faults import FaultInjector, report
from tests.chaos.programs import Setup

SETTLE_S = 8.0  # without faults in the end, before the devices are stopped and drained
REPORTED = 20  # missing records that are listed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChaosRun:
    """What a run has found. `error` is what ended a step early, None if nothing did.

    Unless all devices were drained, a record that is neither stored nor declared lost may still be on its device.
    """

    def __init__(self, settle_s: float = SETTLE_S) -> None:
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
        """Do all steps. Raises nothing but what accounting raises if the accepted records can't be read."""
        # twice, for a signal that comes while an earlier one is handled
        self._attempt(lambda: self._inject_and_recover(FaultInjector(setup, rng), setup, seconds))
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
        try:
            self._account(setup)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _inject_and_recover(self, injector: FaultInjector, setup: Setup, seconds: float) -> None:
        self._attempt(lambda: injector.run(seconds))
        self.kills = injector.kills
        self._attempt(lambda: self._recover(setup))

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (Exception, KeyboardInterrupt) as error:
            if not isinstance(error, KeyboardInterrupt):
                traceback.print_exc()
            self.error = self.error or f"{type(error).__name__}: {error}"
            report(f"ended early by {type(error).__name__}: {error}")

    def _account(self, setup: Setup) -> None:
        logs = setup.accepted_logs()
        self.accounting = account_for_nothing_stored(logs)
        self._attempt(lambda: self._compare(setup))
        for number in self.accounting.missing[:REPORTED]:
            report(f"{'missing' if self.drained else 'unverified'}: {number}")

    def _compare(self, setup: Setup) -> None:
        self.accounting = account(setup.accepted_logs(), setup.database_url)

    def _recover(self, setup: Setup) -> None:
        """Repair everything, and let the devices send what they hold. Raises SetupError and OSError."""
        setup.repairs.perform_all()
        for program in (setup.broker, setup.cloud, *setup.agents):
            program.start()
        report(f"everything is repaired; {self._settle_s:.0f} s without faults")
        time.sleep(self._settle_s)
        for agent in setup.agents:
            agent.stop()
        report("the devices are stopped; sending what their outboxes hold")
        if not setup.drain():
            report("not everything was acknowledged")
        setup.cloud.stop()
        self.drained = True
