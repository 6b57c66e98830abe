"""Buffered socket: paho reads from a buffer that is filled with one call to the operating system.

What flows in: a connected socket. What flows out: a socket whose `recv` serves the small pieces in which paho reads a
packet (one byte, the length byte by byte, the rest). `pending` returns how much is left, and aiomqtt reads on while it
is not 0. So all packets of a wake-up of the event loop are taken at once, and their PUBACKs are written together.

Both libraries are used through their public interface: aiomqtt hands `tls_context` to paho, which calls its
`wrap_socket`. For TLS, `ssl.SSLContext.sslsocket_class` names the class of the result. For a connection without TLS,
`PlainContext` stands in for the context.
"""

import socket
import ssl

BUFFER_BYTES = 65_536


class _Buffer:
    """Bytes that have been received and not read yet."""

    def __init__(self) -> None:
        self._received = b""
        self._read = 0

    def __len__(self) -> int:
        return len(self._received) - self._read

    def fill(self, received: bytes) -> None:
        """Replace what has been read to its end."""
        self._received, self._read = received, 0

    def take(self, limit: int) -> bytes:
        """Return up to `limit` bytes."""
        taken = self._received[self._read : self._read + limit]
        self._read += len(taken)
        return taken


class PlainSocket(socket.socket):
    """A TCP socket with a buffer; it takes over the connection of another socket."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected.family, connected.type, connected.proto, connected.detach())
        self._buffer = _Buffer()

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Return up to `bufsize` bytes. Raises BlockingIOError when there are none yet."""
        if not self._buffer:
            self._buffer.fill(super().recv(BUFFER_BYTES, flags))
        return self._buffer.take(bufsize)

    def pending(self) -> int:
        """Return how many bytes can be read without asking the operating system."""
        return len(self._buffer)

    def do_handshake(self) -> None:
        """Do nothing: there is no TLS."""


class TlsSocket(ssl.SSLSocket):
    """A TLS socket with a buffer; `ssl.SSLContext.wrap_socket` makes it."""

    _buffer: _Buffer | None = None

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys and verify the certificate; close the socket when that fails, which paho does not."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return up to `buflen` bytes. Raises ssl.SSLWantReadError when there are none yet."""
        if self._buffer is None:
            self._buffer = _Buffer()
        if not self._buffer:
            self._buffer.fill(super().recv(BUFFER_BYTES, flags))
        return self._buffer.take(buflen)

    def pending(self) -> int:
        """Return how many decrypted bytes can be read without asking the operating system."""
        return super().pending() + len(self._buffer or b"")


class PlainContext:
    """What aiomqtt and paho use of an `ssl.SSLContext`, for a connection without TLS."""

    check_hostname = True  # nothing is left for paho to check

    def wrap_socket(self, sock: socket.socket, **_: object) -> PlainSocket:
        """Return a buffered socket with the connection of `sock`."""
        timeout_s = sock.gettimeout()
        buffered = PlainSocket(sock)
        buffered.settimeout(timeout_s)
        return buffered
