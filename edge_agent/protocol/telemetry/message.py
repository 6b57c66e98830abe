"""Messages of the telemetry lane: records of one stream behind a head that numbers them."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from edge_agent.protocol import PROTOCOL_VERSION, cbor
from edge_agent.protocol.telemetry.decoding import fields

MAX_MESSAGE_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryMessage:
    """A message of the telemetry lane: batches `first_seq`, ... of a stream, still packed; numbers as in Envelope."""

    stream: str
    base_seq: int
    first_seq: int
    records: tuple[bytes, ...]


def encode(stream: str, base_seq: int, first_seq: int, records: Iterable[bytes]) -> bytes:
    """Return the payload of one telemetry message; `stream` is a UUID as `str(UUID)` writes it."""
    head = {
        "v": PROTOCOL_VERSION,
        "stream": UUID(stream),
        "base_seq": base_seq,
        "first_seq": first_seq,
        "records": list(records),
    }
    return cbor.dumps(head)


def decode(payload: bytes) -> TelemetryMessage:
    """Read a telemetry message without opening its batches. Raises ValueError with the reason."""
    try:
        if len(payload) > MAX_MESSAGE_BYTES:
            raise ValueError(f"larger than {MAX_MESSAGE_BYTES} bytes")
        raw = fields(cbor.loads(payload), "v", "stream", "base_seq", "first_seq", "records")
        if raw["v"] != PROTOCOL_VERSION:
            raise ValueError(f"v: version {raw['v']!r:.80} is not {PROTOCOL_VERSION}")
        stream, records = raw["stream"], raw["records"]
        if not isinstance(stream, UUID):
            raise ValueError(f"stream: {stream!r:.80} is not a UUID")
        for field in ("base_seq", "first_seq"):
            if type(raw[field]) is not int or not 1 <= raw[field] < 2**63:
                raise ValueError(f"{field}: {raw[field]!r:.80} is not a positive number")
        if not isinstance(records, list) or not records or not all(type(record) is bytes for record in records):
            raise ValueError("records: must be a list of at least one byte string")
    except ValueError as error:
        raise ValueError(f"telemetry message: {error}") from None
    return TelemetryMessage(
        stream=cbor.uuid_text(stream), base_seq=raw["base_seq"], first_seq=raw["first_seq"], records=tuple(records)
    )
