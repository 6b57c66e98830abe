"""Signals that end a run: they are noted, and take effect only where the run sleeps, so that no step is cut in half."""

import signal
import time
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.05


class InterruptedRunError(Exception):
    """A signal asked for the end of what the run was doing."""


class Interrupt:
    """Notes signals once `install` was called."""

    def __init__(self) -> None:
        self._pending: signal.Signals | None = None

    def install(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP from now on."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def sleep(self, seconds: float) -> None:
        """Sleep. Raises InterruptedRunError for a signal that has arrived, once."""
        deadline = time.monotonic() + seconds
        while not self._pending and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(left_s, POLL_S))
        if self._pending:
            name, self._pending = self._pending.name, None
            raise InterruptedRunError(name)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._pending = signal.Signals(number)
