"""A network that can be cut and slowed down: a TCP proxy on loopback, in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

CHUNK = 65_536


class Proxy:
    """Carries connections from a port of its own to `target_port`. `port` is known once it has started."""

    def __init__(self, target_port: int, tap: Callable[[bytes], object] = lambda _piece: None) -> None:
        """`tap` is called with each piece that clients send."""
        self.target_port, self._tap = target_port, tap
        self.port = 0
        self.sent_bytes = 0  # by clients, so far
        self._delay_s = 0.0
        self._cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Start to listen."""
        self._thread.start()
        self._run(self._listen())

    def stop(self) -> None:
        """Close everything."""
        self.cut()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset all connections, and refuse new ones until `restore`."""
        self._cut = True
        self._loop.call_soon_threadsafe(self._reset)

    def slow(self, delay_s: float) -> None:
        """Delay each piece by so much; 0 ends it."""
        self._delay_s = delay_s

    def restore(self) -> None:
        """Accept connections again after `cut`."""
        self._cut = False

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server:
            self._server.close()
        if carrying := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(carrying, timeout=5.0)
        await asyncio.sleep(0)  # for the transports to close their sockets

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            await asyncio.gather(self._carry(reader, far_writer, counts=True), self._carry(far_reader, writer))
        finally:
            self._writers -= ends

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool = False) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(CHUNK):
                if counts:
                    self.sent_bytes += len(piece)
                    self._tap(piece)
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()
