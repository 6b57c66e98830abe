"""Reading: the bytes of a message become numbered records, each with its meaning or with what is wrong with it. Pure.

What flows in: a message with the time of its arrival. What flows out: a delivery or a presence that can be stored.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from cloud.cases.episodes import dated
from cloud.store.streams import StreamKey
from edge_agent.protocol import telemetry, topics
from edge_agent.protocol.records import (
    MAX_RECORDS,
    Loss,
    Presence,
    decode_envelope,
    decode_presence,
    read_record,
)
from edge_agent.protocol.topics import Channel, Lane

DEAD_LETTERED = "parked"  # as it is stored: the kind of a record that could not be taken: its number counts as stored
MAX_BYTES = 4 << 20  # of a message; brokers commonly refuse what is larger than 256 KiB
_address = lru_cache(maxsize=65_536)(topics.parse)  # devices say the same again and again
_KIND_LENGTH = 32  # of the store's column


class Arrived(NamedTuple):
    """A message as the broker handed it over, and when."""

    topic: str
    payload: bytes
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One record of a message: what stands there, and either how it was understood or why it was not."""

    seq: int
    content: dict[str, Any] | bytes
    kind: str = DEAD_LETTERED
    loss: Loss | None = None
    start_at: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message of a lane."""

    key: StreamKey
    base_seq: int
    items: tuple[Item, ...]


def read(message: Arrived) -> Delivery | Presence:
    """Read a message of a device; one bad record is only that item's problem.

    Raises ValueError, OverflowError or RecursionError with the reason when the message as a whole can't be taken.
    """
    topic, payload, received_at = message
    if len(payload) > MAX_BYTES:
        raise ValueError(f"a message of {len(payload)} bytes is larger than {MAX_BYTES}")
    address = _address(topic)
    match address.channel:
        case Channel.PRESENCE:
            presence = decode_presence(payload)
            _check_storable(presence.model_dump(mode="json"))
            dated(presence.at, received_at)
            return presence
        case Channel.FINDINGS:
            said = decode_envelope(payload)
            found = (_read_json(seq, raw, received_at) for seq, raw in enumerate(said.records, said.first_seq))
            return _delivery(StreamKey(address.device, Lane.FINDINGS, said.stream), said.base_seq, found)
        case Channel.TELEMETRY:
            packed = telemetry.decode(payload)
            if len(packed.records) > MAX_RECORDS:
                raise ValueError(f"records: {len(packed.records)} are more than {MAX_RECORDS} in one message")
            left = telemetry.Allowance()
            numbered = enumerate(packed.records, packed.first_seq)
            chunks = (_read_chunk(seq, raw, received_at, left) for seq, raw in numbered)
            return _delivery(StreamKey(address.device, Lane.TELEMETRY, packed.stream), packed.base_seq, chunks)
        case _:
            raise ValueError(f"topic {topic!r}: devices do not speak there")


def _delivery(key: StreamKey, base_seq: int, found: Iterator[Item]) -> Delivery:
    items = tuple(found)
    if items[-1].seq >= 2**63:
        raise ValueError(f"first_seq: the last record's number {items[-1].seq} is not below 2**63")
    return Delivery(key=key, base_seq=base_seq, items=items)


def _read_json(seq: int, raw: dict[str, Any], received_at: datetime) -> Item:
    """Check one record of the findings lane; a kind of a newer version is kept as it is."""
    try:
        _check_storable(raw)
        record = read_record(raw)
        if record is None and len(raw["kind"]) > _KIND_LENGTH:
            raise ValueError(f"kind: {raw['kind']!r:.80} is longer than {_KIND_LENGTH}")
        if record:
            dated(record.at, received_at)
        loss = record if isinstance(record, Loss) else None
        if loss and loss.last_seq < loss.first_seq:
            raise ValueError(f"last_seq: {loss.last_seq} is below first_seq {loss.first_seq}")
    except (ValueError, OverflowError, RecursionError) as error:
        return Item(seq=seq, content=raw, problem=str(error))
    return Item(seq=seq, content=raw, kind=raw["kind"], loss=loss)


def _read_chunk(seq: int, raw: bytes, received_at: datetime, left: telemetry.Allowance) -> Item:
    """See that a telemetry batch can be unpacked, and when it begins; unpacking it can wait until somebody asks."""
    try:
        start_at = dated(telemetry.start_of(raw, left), received_at)
    except telemetry.TooMuchError:
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        return Item(seq=seq, content=raw, problem=str(error))
    return Item(seq=seq, content=raw, kind=Lane.TELEMETRY, start_at=start_at)


def _check_storable(raw: dict[str, Any]) -> None:
    """Refuse what JSON does not know (NaN) and what PostgreSQL can't keep in a text (NUL)."""
    if "\\u0000" in json.dumps(raw, allow_nan=False):
        raise ValueError("a text contains the character NUL")
