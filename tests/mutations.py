"""Messages of hostile, faulty and newer devices: valid messages, mutated in many ways. Pure.

What flows in: a source of chance. What flows out: a channel and a payload.
"""

import contextlib
import json
import random
import zlib
from typing import Any

import cbor2

from edge_agent.protocol import telemetry
from edge_agent.protocol.records import Phase
from edge_agent.protocol.topics import Channel, Lane
from tests.builders import (
    STREAM,
    a_chunk,
    a_finding,
    a_loss,
    a_presence,
    a_telemetry_message,
    an_envelope,
    an_evidence,
    an_id,
)

GOOD: tuple[tuple[Channel, bytes], ...] = (
    (Channel.FINDINGS, an_envelope(1, a_finding())),
    (Channel.FINDINGS, an_envelope(2, a_finding(Phase.CLEAR, 60), an_evidence())),
    (Channel.FINDINGS, an_envelope(4, a_loss(1, 9), a_loss(2, 3, lane=Lane.FINDINGS), {"kind": "hologram"})),
    (Channel.TELEMETRY, a_telemetry_message(1, a_chunk(), a_chunk(60))),
    (Channel.TELEMETRY, a_telemetry_message(3, a_chunk(120), stream=an_id(9), base_seq=2)),
    (Channel.PRESENCE, a_presence()),
)
STRANGE: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf")),
    *("", "x" * 70_000, "\0", "\ud800", "é" * 300, "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", STREAM),
    *([], {}, [[]], {"": {}}, [None] * 300, {"kind": "finding"}, {str(n): n for n in range(300)}, b"\xff"),
)


def mutated(rng: random.Random) -> tuple[Channel, bytes]:
    """Return the next bad message; now and then it is still a good one."""
    channel, payload = rng.choice(GOOD)
    payload = rng.choice((_bits, _cut, _spliced, _noise, _structure, _structure, _structure, _record, _bomb))(
        rng, payload
    )
    return rng.choice((channel, channel, channel, Channel.FINDINGS, Channel.TELEMETRY, Channel.PRESENCE)), payload


def _bits(rng: random.Random, payload: bytes) -> bytes:
    spoilt = bytearray(payload)
    for _ in range(rng.randint(1, 8)):
        spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _cut(rng: random.Random, payload: bytes) -> bytes:
    return payload[: rng.randrange(len(payload))]


def _spliced(rng: random.Random, payload: bytes) -> bytes:
    _, other = rng.choice(GOOD)
    return payload[: rng.randrange(len(payload))] + other[rng.randrange(len(other)) :]


def _noise(rng: random.Random, _payload: bytes) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 7, 300, 5000)))


def _structure(rng: random.Random, payload: bytes) -> bytes:
    """Put something strange into one place of a message that is well-formed otherwise."""
    with contextlib.suppress(ValueError):
        return json.dumps(_changed(rng, json.loads(payload)), default=str).encode("utf-8", "surrogatepass")
    with contextlib.suppress(zlib.error):
        return zlib.compress(_cbor(_changed(rng, cbor2.loads(zlib.decompress(payload)))))
    with contextlib.suppress(cbor2.CBORDecodeError):
        return _cbor(_changed(rng, cbor2.loads(payload)))
    return _bits(rng, payload)


def _record(rng: random.Random, _payload: bytes) -> bytes:
    """Spoil a record of telemetry inside a good message: as bytes, or one place of it where it is CBOR."""
    record = rng.choice((_bits, _cut, _noise, _structure))(rng, a_chunk())
    return telemetry.encode(STREAM, 1, rng.randint(1, 50), [a_chunk(), record])


def _bomb(rng: random.Random, _payload: bytes) -> bytes:
    """What is small and becomes large, or goes deep."""
    size = rng.choice((1_000, 100_000))
    deep, wide = b"\x81" * size + b"\x01", b"\x9b" + size.to_bytes(8, "big") + b"\x01" * size
    return rng.choice(
        (
            zlib.compress(deep),
            zlib.compress(wide),
            zlib.compress(bytes(20 * size)),
            deep,
            wide,
            b"[" * size,
            b'{"a":' * size,
            b'{"v": 1, "stream": "' + STREAM.encode() + b'", "first_seq": 1, "records": [{"kind": ' + b"[" * size,
        )
    )


def _changed(rng: random.Random, value: Any) -> Any:
    """Return the value with one place of it, at any depth, left out, doubled or replaced."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        rest = {name: each for name, each in value.items() if name != key}
        return rest if rng.random() < 0.15 else rest | {key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        middle = rng.choice(([], [value[place]] * 3, [_changed(rng, value[place])], [_changed(rng, value[place])]))
        return [*value[:place], *middle, *value[place + 1 :]]
    if isinstance(value, bytes) and value and rng.random() < 0.5:
        return _bits(rng, value)
    return rng.choice(STRANGE)


def _cbor(value: Any) -> bytes:
    try:
        return cbor2.dumps(value)
    except (UnicodeError, cbor2.CBOREncodeError):  # half a surrogate, which CBOR's texts can't hold
        return cbor2.dumps(repr(value))
