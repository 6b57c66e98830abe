"""CBOR as far as the telemetry lane needs it: what cbor2 says too, and nothing that a hostile device could build."""

import struct
from typing import Any
from uuid import UUID

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocol import cbor

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
    | st.uuids(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
).filter(lambda value: depth(value) < cbor.MAX_DEPTH)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inner), default=0)


@given(PLAIN)
def test_it_writes_what_cbor2_writes_and_reads_it_back(value: Any) -> None:
    data = cbor.dumps(value)
    assert data == cbor2.dumps(value)
    assert cbor.loads(data) == value


@pytest.mark.parametrize(("dtype", "tag"), [("<u1", 64), ("<i1", 72), ("<i2", 77), ("<i4", 78), ("<i8", 79)])
def test_a_numpy_array_is_a_typed_array_of_rfc_8746(dtype: str, tag: int) -> None:
    numbers = np.array([0, 1, 100], dtype)
    data = cbor.dumps(numbers)
    assert cbor2.loads(data) == cbor2.CBORTag(tag, numbers.tobytes())
    back = cbor.loads(data)
    assert back.dtype == numbers.dtype
    assert back.tolist() == [0, 1, 100]


def test_what_others_may_add_is_read_without_its_meaning() -> None:
    assert cbor.loads(cbor2.dumps({"when": cbor2.CBORTag(1, 1_700_000_000), "half": 1.5}, canonical=True)) == {
        "when": 1_700_000_000,
        "half": 1.5,
    }


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "cut off"),
        (b"\x01\x02", "1 bytes are left over"),
        (bytes.fromhex("9bffffffffffffffff"), "cut off"),
        (bytes.fromhex("5bffffffffffffffff"), "cut off"),
        (bytes.fromhex("bbffffffffffffffff"), "cut off"),
        (bytes.fromhex("9f01ff"), "additional information 31"),
        (b"\x81" * 100_000, "nested deeper"),
        (cbor2.dumps([0] * cbor.MAX_ITEMS), "more than 10000 items"),
        (cbor2.dumps({1: 2}), "map: 1 is no text"),
        (cbor2.dumps({(-1, -2): 2}), "is no text"),  # tuples of -1 and -2 all have the same hash: a map of them stalls
        (bytes.fromhex("a2616101616102"), "there twice"),
        (cbor2.dumps(cbor2.CBORTag(37, "no bytes")), "not on a byte string"),
        (cbor2.dumps(cbor2.CBORTag(37, b"short")), "16"),
        (cbor2.dumps(cbor2.CBORTag(79, b"short")), "size"),
        (b"\x61\xff", "utf-8"),
    ],
)
def test_what_is_not_of_ours_is_refused_with_its_reason(data: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        cbor.loads(data)


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1, {1, 2}])
def test_what_has_no_place_on_the_wire_is_our_own_mistake(value: Any) -> None:
    with pytest.raises(TypeError, match="no place on the wire"):
        cbor.dumps(value)


def test_floats_of_all_lengths_are_read() -> None:
    assert cbor.loads(b"\xfa" + struct.pack(">f", 0.5)) == 0.5
    assert cbor.loads(b"\xf9\x3e\x00") == 1.5
    assert cbor.loads(cbor.dumps([UUID(int=5), True, None])) == [UUID(int=5), True, None]
