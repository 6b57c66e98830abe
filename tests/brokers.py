"""A broker that behaves as badly as a test wants, and a cloud behind it. Speaks MQTT 3.1.1 and 5, as far as we need."""

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from edge_agent.protocol import records, telemetry
from edge_agent.protocol.records import Ack, LaneAck
from edge_agent.protocol.topics import Channel, Lane, parse, topic

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14


@dataclass(slots=True)
class ScriptedBroker:
    """Listens on loopback while the block runs; each rule is asked for each message or connection."""

    versions: frozenset[int] = frozenset({4, 5})
    silent_to: frozenset[int] = frozenset()  # versions that are never answered
    packet_bytes: int | None = None  # told in the CONNACK of MQTT 5
    kicks_after_connack: bool = False
    ends_on: Callable[[str, bytes], bool] = lambda _topic, _payload: False  # closes without a PUBACK
    unread: Callable[[Lane, int], bool] = lambda _lane, _seq: False  # messages with such a record get no ack
    acknowledges: bool = True
    port: int = 0
    connects: list[int] = field(default_factory=list)  # MQTT version of each CONNECT
    sizes: list[int] = field(default_factory=list)  # of each message of a lane
    taken: dict[Lane, dict[int, bytes]] = field(default_factory=lambda: {lane: {} for lane in Lane})
    order: list[Lane] = field(default_factory=list)
    _listener: socket.socket | None = None
    _up_to: dict[tuple[Lane, str], int] = field(default_factory=dict)
    _open: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """End all connections without a word."""
        for one in self._open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        version = 4
        try:
            with link:
                while packet := _packet(link):
                    kind, body = packet
                    if kind == CONNECT:
                        version = body[6]
                        self.connects.append(version)
                        if not self._welcome(link, version):
                            return
                    elif not self._answer(link, version, kind, body):
                        return
        except OSError:
            return

    def _welcome(self, link: socket.socket, version: int) -> bool:
        if version in self.silent_to:
            return bool(_packet(link))  # waits for more, for ever
        if version not in self.versions:
            link.sendall(_framed(CONNACK, b"\0\1"))
            return False
        properties = b"" if self.packet_bytes is None else b"\x27" + struct.pack("!I", self.packet_bytes)
        properties = bytes([len(properties)]) + properties if version == 5 else b""
        link.sendall(_framed(CONNACK, b"\0\0" + properties))
        return not self.kicks_after_connack

    def _answer(self, link: socket.socket, version: int, kind: int, body: bytes) -> bool:
        five = version == 5
        if kind == SUBSCRIBE:
            link.sendall(_framed(SUBACK, body[:2] + (b"\0" if five else b"") + b"\1"))
        elif kind == PINGREQ:
            link.sendall(_framed(13, b""))
        elif kind == PUBLISH:
            length = struct.unpack_from("!H", body)[0]
            name, mid, rest = body[2 : 2 + length].decode(), body[2 + length : 4 + length], body[4 + length :]
            payload = rest[1 + rest[0] :] if five else rest
            if self.ends_on(name, payload):
                return False
            link.sendall(_framed(PUBACK, mid))
            ack = self._take(name, payload)
            if ack is not None and self.acknowledges:
                head = topic(parse(name).device, Channel.ACK).encode()
                record = struct.pack("!H", len(head)) + head + (b"\0" if five else b"") + records.encode(ack)
                link.sendall(_framed(PUBLISH, record))
        return kind != DISCONNECT

    def _take(self, name: str, payload: bytes) -> Ack | None:
        """Be the cloud: keep what is new, and acknowledge as far as nothing is missing."""
        channel = parse(name).channel
        if channel not in (Channel.FINDINGS, Channel.TELEMETRY):
            return None
        lane = Lane(channel)
        self.sizes.append(len(payload))
        self.order.append(lane)
        if lane is Lane.FINDINGS:
            envelope = records.decode_envelope(payload)
            stream, first, base = envelope.stream, envelope.first_seq, envelope.base_seq
            bodies = [str(one).encode() for one in envelope.records]
            for raw in envelope.records:
                if (record := records.read_record(dict(raw))) and isinstance(record, records.Loss):
                    taken = self.taken[record.lane]
                    taken |= {seq: b"lost" for seq in range(record.first_seq, record.last_seq + 1) if seq not in taken}
        else:
            message = telemetry.decode(payload)
            stream, first, base, bodies = message.stream, message.first_seq, message.base_seq, list(message.records)
        if any(self.unread(lane, seq) for seq in range(first, first + len(bodies))):
            return None
        self.taken[lane] |= dict(enumerate(bodies, start=first))
        up_to = max(self._up_to.get((lane, stream), 0), base - 1)
        while up_to + 1 in self.taken[lane]:
            up_to += 1
        self._up_to[lane, stream] = up_to
        return Ack(lanes={lane: LaneAck(stream=stream, up_to=up_to)})


def _packet(link: socket.socket) -> tuple[int, bytes] | None:
    head = link.recv(1)
    if not head:
        return None
    length = shift = 0
    while True:
        byte = _exactly(link, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return head[0] >> 4, _exactly(link, length)


def _exactly(link: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = link.recv(count - len(got))
        if not part:
            raise OSError("the client left in the middle of a packet")
        got += part
    return got


def _framed(kind: int, body: bytes) -> bytes:
    length, left = b"", len(body)
    while True:
        left, low = left >> 7, left & 0x7F
        length += bytes([low | 0x80 if left else low])
        if not left:
            return bytes([kind << 4]) + length + body
