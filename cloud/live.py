"""The bell: tells waiting pages of this process that something was committed. What happened stands in the database."""

import asyncio


class Bell:
    """Rung after a commit; whoever waits then reads the database for what is new."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

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
