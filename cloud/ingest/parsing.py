"""Parsing: the bytes of a message become numbered records, each with its content or with what is wrong with it. Pure.

What flows in: a message with the time of its receipt. What flows out: a delivery or presence that can be stored, or the
reason to reject the message.
"""

import json
import logging
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

DEAD_LETTERED = "parked"  # the kind, as it is stored, of a dead-lettered record; its number counts as stored
MAX_BYTES = 4 << 20  # of a message; brokers commonly refuse what is larger than 256 KiB
_address = lru_cache(maxsize=65_536)(topics.parse)  # devices use the same topics again and again
_KIND_LENGTH = 32  # of the store's column

log = logging.getLogger(__name__)


class ReceivedMessage(NamedTuple):
    """A message as the broker delivered it, and when."""

    topic: str
    payload: bytes
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRecord:
    """One record of a message: its raw content, and either its meaning or the problem with it."""

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
    records: tuple[ParsedRecord, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that can't be stored."""

    cause: str


class ParsedMessage(NamedTuple):
    """A message and its content."""

    received: ReceivedMessage
    content: Delivery | Presence | Rejected


def parse(message: ReceivedMessage) -> ParsedMessage:
    """Parse a message; one that can't be parsed is rejected with the reason. Never raises."""
    try:
        return ParsedMessage(message, parse_content(message))
    except (ValueError, OverflowError, RecursionError) as error:
        return ParsedMessage(message, Rejected(str(error)))
    except Exception as error:
        log.exception("a message on %s could not be parsed: this is a bug", message.topic)
        return ParsedMessage(message, Rejected(f"could not be parsed: {error}"))


def parse_content(message: ReceivedMessage) -> Delivery | Presence:
    """Parse a message of a device; the problem of one record is noted at that record.

    Raises ValueError, OverflowError or RecursionError with the reason when the message as a whole is invalid.
    """
    topic, payload, received_at = message
    if len(payload) > MAX_BYTES:
        raise ValueError(f"a message of {len(payload)} bytes is larger than {MAX_BYTES}")
    address = _address(topic)
    match address.channel:
        case Channel.TELEMETRY:
            packed = telemetry.decode(payload)
            if len(packed.records) > MAX_RECORDS:
                raise ValueError(f"records: {len(packed.records)} are more than {MAX_RECORDS} in one message")
            allowance = telemetry.Allowance()
            numbered = enumerate(packed.records, packed.first_seq)
            chunks = (_parse_chunk(seq, raw, received_at, allowance) for seq, raw in numbered)
            return _delivery(StreamKey(address.device, Lane.TELEMETRY, packed.stream), packed.base_seq, chunks)
        case Channel.FINDINGS:
            envelope = decode_envelope(payload)
            numbered_json = enumerate(envelope.records, envelope.first_seq)
            records = (_parse_json(seq, raw, received_at) for seq, raw in numbered_json)
            return _delivery(StreamKey(address.device, Lane.FINDINGS, envelope.stream), envelope.base_seq, records)
        case Channel.PRESENCE:
            presence = decode_presence(payload)
            _check_storable(presence.model_dump(mode="json"))
            dated(presence.at, received_at)
            return presence
        case _:
            raise ValueError(f"topic {topic!r}: devices do not publish there")


def _delivery(key: StreamKey, base_seq: int, found: Iterator[ParsedRecord]) -> Delivery:
    records = tuple(found)
    if records[-1].seq >= 2**63:
        raise ValueError(f"first_seq: the last record's number {records[-1].seq} is not below 2**63")
    return Delivery(key=key, base_seq=base_seq, records=records)


def _parse_json(seq: int, raw: dict[str, Any], received_at: datetime) -> ParsedRecord:
    """Check one record of the findings lane; a record of a kind that is not known here is kept unchanged."""
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
        return ParsedRecord(seq=seq, content=raw, problem=str(error))
    return ParsedRecord(seq=seq, content=raw, kind=raw["kind"], loss=loss)


def _parse_chunk(seq: int, raw: bytes, received_at: datetime, allowance: telemetry.Allowance) -> ParsedRecord:
    """Check that a telemetry batch can be unpacked, and find its start; it is unpacked when it is queried."""
    try:
        start_at = dated(telemetry.start_of(raw, allowance), received_at)
    except telemetry.TooMuchError:
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        return ParsedRecord(seq=seq, content=raw, problem=str(error))
    return ParsedRecord(seq=seq, content=raw, kind=Lane.TELEMETRY, start_at=start_at)


def _check_storable(raw: dict[str, Any]) -> None:
    """Refuse NaN, which JSON does not know, and NUL, which PostgreSQL can't store in a text."""
    if "\\u0000" in json.dumps(raw, allow_nan=False):
        raise ValueError("a text contains the character NUL")
