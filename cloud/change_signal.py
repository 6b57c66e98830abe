"""The change signal: wakes waiting pages after a commit. It carries no data: what changed is read from the database."""

import asyncio


class ChangeSignal:
    """Notified after each commit that changed something; those who wait then read the database."""

    def __init__(self) -> None:
        self._notified = asyncio.Event()
        self.closed = False  # the service is stopping: followers end their streams

    def close(self) -> None:
        """Set `closed` and wake everybody for the last time."""
        self.closed = True
        self.notify()

    def notify(self) -> None:
        """Wake everybody who is waiting now."""
        self._notified.set()
        self._notified = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next notification, at most `timeout_s`; return whether there was one."""
        try:
            await asyncio.wait_for(self._notified.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
