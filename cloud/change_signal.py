"""The bell: tells waiting pages that something was committed. What that was stands in the database."""

import asyncio


class Bell:
    """Rung after a commit; whoever waits then reads the database for what is new."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self.closed = False  # the service stops: whoever follows should let go

    def close(self) -> None:
        """Wake everybody for the last time."""
        self.closed = True
        self.ring()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next ring, at most `timeout_s`; say whether it rang."""
        try:
            await asyncio.wait_for(self._rung.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
