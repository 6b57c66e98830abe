"""MQTT 3.1.1 by hand, as little of it as a flood needs: who publishes must cost less than who is measured.

The packets are those of the OASIS standard: CONNECT, PUBLISH at QoS 1, PUBACK.
"""

import socket
import struct
import threading

WINDOW = 500  # publishes under way without an acknowledgement of the broker


class Publisher:
    """A connection that publishes at QoS 1, and waits when the broker falls behind."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + _text(name)
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        if self._socket.recv(4) != b"\x20\x02\x00\x00":
            raise ConnectionError("the broker refuses us")
        self._changed = threading.Condition()
        self._sent = self._acked = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def publish(self, *packets: bytes) -> None:
        """Send packets made by `packet`. Raises ConnectionError when the broker has closed the connection."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._sent - self._acked < WINDOW, timeout=60):
                raise ConnectionError("the broker has stopped to acknowledge")
            self._sent += len(packets)
        self._socket.sendall(b"".join(packets))

    def close(self) -> None:
        """Wait until the broker has acknowledged everything, then disconnect."""
        with self._changed:
            self._changed.wait_for(lambda: self._sent == self._acked, timeout=60)
        self._socket.sendall(b"\xe0\x00")
        self._socket.close()

    def _listen(self) -> None:
        rest = 0  # bytes of an acknowledgement that came in part; each has 4
        while received := self._receive():
            acked, rest = divmod(rest + received, 4)
            with self._changed:
                self._acked += acked
                self._changed.notify()

    def _receive(self) -> int:
        try:
            return len(self._socket.recv(65536))
        except OSError:
            return 0


def packet(topic: str, payload: bytes, number: int) -> bytes:
    """Return a PUBLISH at QoS 1; `number` becomes its packet identifier."""
    body = _text(topic) + struct.pack(">H", number % 65535 + 1) + payload
    return b"\x32" + _length(len(body)) + body


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _length(size: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (128 if size else 0))
        if not size:
            return bytes(out)
