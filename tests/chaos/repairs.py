"""Repairs of injected faults, each at its time. Faults may overlap, also on one device."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from firmware_stubs.processes import SetupError


@dataclass(frozen=True, slots=True)
class _Repair:
    at_s: float
    action: Callable[[], object]


class RepairSchedule:
    """One pending repair for each fault that lasts.

    A fault that is injected again while it lasts is repaired once, at the later of the two times. An action that
    returns False is not possible yet, because another fault is in its way; its repair stays pending. So does a repair
    whose action raises.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._pending: dict[str, _Repair] = {}

    def add(self, fault: str, after_s: float, action: Callable[[], object]) -> None:
        """Repair `fault` (a unique name) after so many seconds, or later if it is already due later."""
        at_s = self._monotonic() + after_s
        if known := self._pending.get(fault):
            at_s = max(at_s, known.at_s)
        self._pending[fault] = _Repair(at_s, action)

    def perform_due(self) -> None:
        """Perform the repairs that are due and possible. Raises what an action raises."""
        for fault, repair in list(self._pending.items()):
            if repair.at_s <= self._monotonic():
                self._perform(fault)

    def perform_all(self) -> None:
        """Perform all repairs now, in an order that is possible. Raises SetupError with those that can't be done."""
        progress = True
        while self._pending and progress:
            before, failures = len(self._pending), []
            for fault in list(self._pending):
                try:
                    self._perform(fault)
                except OSError as error:
                    failures.append(f"{fault}: {error}")
            progress = len(self._pending) < before
        if self._pending:
            raise SetupError(f"faults that can't be repaired: {'; '.join(failures) or ', '.join(self._pending)}")

    def _perform(self, fault: str) -> None:
        if self._pending[fault].action() is not False:
            del self._pending[fault]
