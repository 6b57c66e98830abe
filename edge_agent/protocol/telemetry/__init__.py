"""The telemetry codec: columns of scaled integers, delta-coded, in CBOR typed arrays (RFC 8746), deflated.

What flows in: a batch of equally spaced readings per series. What flows out: a record, then a message of the telemetry
lane, and back. The round trip is exact at each column's declared resolution. A record holds all that is needed to read
it: names, units and resolutions too. They cost little, since records are deflated with a dictionary that contains them.
docs/wire-protocol.md describes the bytes.
"""

from edge_agent.protocol.telemetry.allowance import MAX_MESSAGE_COLUMNS, MAX_MESSAGE_INFLATED, Allowance, TooMuchError
from edge_agent.protocol.telemetry.batch import (
    COARSEST,
    DICTIONARIES,
    FINEST,
    LARGEST_MULTIPLE,
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_RECORD_BYTES,
    Batch,
    Column,
)
from edge_agent.protocol.telemetry.decoding import MAX_ITEMS, MAX_PERIOD_S, start_of, unpack
from edge_agent.protocol.telemetry.encoding import pack
from edge_agent.protocol.telemetry.message import MAX_MESSAGE_BYTES, TelemetryMessage, decode, encode

__all__ = [
    "COARSEST",
    "DICTIONARIES",
    "FINEST",
    "LARGEST_MULTIPLE",
    "MAX_CELLS",
    "MAX_COLUMNS",
    "MAX_ITEMS",
    "MAX_MESSAGE_BYTES",
    "MAX_MESSAGE_COLUMNS",
    "MAX_MESSAGE_INFLATED",
    "MAX_PERIOD_S",
    "MAX_RECORD_BYTES",
    "Allowance",
    "Batch",
    "Column",
    "TelemetryMessage",
    "TooMuchError",
    "decode",
    "encode",
    "pack",
    "start_of",
    "unpack",
]
