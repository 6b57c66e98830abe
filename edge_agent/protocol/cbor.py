"""The part of CBOR (RFC 8949) that the telemetry lane speaks, with typed arrays (RFC 8746) as numpy arrays.

What flows in and out: None, booleans, 64-bit integers, floats, text, byte strings, UUIDs (tag 37), arrays, maps with
text as keys, and one-dimensional little-endian numpy arrays. A reader of all of CBOR would build what a hostile device
asks for: maps whose keys all collide, numbers of a million digits, objects that contain themselves. This one can't.
"""

import struct
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np

MAX_DEPTH = 8
MAX_ITEMS = 10_000  # a message has a few hundred; each costs the reader about a microsecond
_UUID = 37
_ARRAYS: dict[int, np.dtype[Any]] = {
    64: np.dtype("<u1"),
    72: np.dtype("<i1"),
    77: np.dtype("<i2"),
    78: np.dtype("<i4"),
    79: np.dtype("<i8"),
}
_TAGS = {dtype: tag for tag, dtype in _ARRAYS.items()}  # RFC 8746, section 2.1
_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}  # bytes that hold a number
_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None}


def dumps(value: Any) -> bytes:
    """Encode a value; lengths are definite and as short as they can be, floats have 64 bits. Raises TypeError."""
    match value:
        case bool() | None:
            return bytes([0xE0 | next(code for code, simple in _SIMPLE.items() if simple is value)])
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case float():
            return struct.pack(">Bd", 0xFB, value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            text = value.encode()
            return _head(3, len(text)) + text
        case list() | tuple():
            return _head(4, len(value)) + b"".join(map(dumps, value))
        case dict():
            return _head(5, len(value)) + b"".join(dumps(key) + dumps(held) for key, held in value.items())
        case UUID():
            return _head(6, _UUID) + dumps(value.bytes)
        case np.ndarray():
            return _head(6, _TAGS[value.dtype]) + dumps(value.tobytes())
        case _:
            raise TypeError(f"{type(value).__name__} has no place on the wire")


def loads(data: bytes, items: int = MAX_ITEMS) -> Any:
    """Decode one value of at most so many items that fills `data`. Raises ValueError with the reason; tags of others
    fall away.
    """
    reader = _Reader(data, items)
    value = reader.item(MAX_DEPTH)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes are left over")
    return value


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for code, length in _LENGTHS.items():
        if number < 1 << 8 * length:
            return bytes([major << 5 | code]) + number.to_bytes(length, "big")
    raise TypeError("an integer of more than 64 bits has no place on the wire")


class _Reader:
    """Reads one item after the other. Each message goes through here, so it does as little as it can for an item."""

    __slots__ = ("_data", "_end", "_left", "_most", "at")

    def __init__(self, data: bytes, items: int) -> None:
        self._data, self._end = data, len(data)
        self._left = self._most = items
        self.at = 0

    def item(self, depth: int) -> Any:
        self._left -= 1
        if not depth or self._left < 0:
            raise ValueError(f"nested deeper than {MAX_DEPTH}, or more than {self._most} items")
        at = self.at
        self.at = at + 1
        if at >= self._end:
            raise ValueError("cut off")
        head = self._data[at]
        major, number = head >> 5, head & 31
        if number > 23 and major != 7:
            number = self._number(number)
        match major:
            case 3:
                return self._take(number).decode()
            case 2:
                return self._take(number)
            case 6:
                return _tagged(number, self.item(depth - 1))
            case 7:
                return self._simple(number)
            case 4:
                return [self.item(depth - 1) for _ in range(number)]
            case 5:
                return self._map(number, depth - 1)
            case _:
                return -1 - number if major else number

    def _take(self, count: int) -> bytes:
        begin = self.at
        self.at = end = begin + count
        if end > self._end:
            raise ValueError("cut off")
        return self._data[begin:end]

    def _number(self, code: int) -> int:
        if code == 24 and self.at < self._end:
            self.at += 1
            return self._data[self.at - 1]
        if code not in _LENGTHS:
            raise ValueError(f"additional information {code} is not understood")
        return int.from_bytes(self._take(_LENGTHS[code]), "big")

    def _simple(self, code: int) -> Any:
        if code in _SIMPLE:
            return _SIMPLE[code]
        if code not in _FLOATS:
            raise ValueError(f"additional information {code} is not understood")
        form = _FLOATS[code]
        return form.unpack(self._take(form.size))[0]

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        held: dict[str, Any] = {}
        for _ in range(count):
            key = self.item(depth)
            if type(key) is not str or key in held:
                raise ValueError(f"map: {key!r:.80} is no text, or there twice")
            held[key] = self.item(depth)
        return held


def _tagged(tag: int, value: Any) -> Any:
    if tag != _UUID and tag not in _ARRAYS:
        return value
    if type(value) is not bytes:
        raise ValueError(f"tag {tag} is not on a byte string")
    return _uuid(value) if tag == _UUID else np.frombuffer(value, _ARRAYS[tag])


@lru_cache(maxsize=65_536)
def _uuid(value: bytes) -> UUID:
    """Devices send the same UUIDs again and again."""
    return UUID(bytes=value)


uuid_text = lru_cache(maxsize=65_536)(UUID.__str__)  # writing one takes a microsecond
