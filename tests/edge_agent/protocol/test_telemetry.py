"""The telemetry codec: exact at the declared resolution, small, and hard to upset."""

import contextlib
import zlib
from datetime import UTC, datetime

import cbor2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_agent.protocol import telemetry
from edge_agent.protocol.instant import Instant

STREAM = "0f8fad5b-d9cb-469f-a165-70867728950e"
START = Instant(boot_id="b", uptime_s=12.5, wall=datetime(2026, 11, 21, 12, tzinfo=UTC), synced=True)


def a_batch(values: npt.NDArray[np.float64], resolution: float = 0.01) -> telemetry.Batch:
    column = telemetry.Column(
        series="hw.temperature", aggregate="mean", unit="Cel", resolution=resolution, values=values
    )
    return telemetry.Batch(start=START, period_s=60.0, columns=(column,))


@given(
    hnp.arrays(np.int64, st.integers(1, 50), elements=st.integers(-(2**40), 2**40)),
    st.sampled_from([1.0, 0.5, 0.001, 4096.0]),
    st.sets(st.integers(0, 49)),
)
def test_a_batch_comes_back_exactly_at_its_resolution_with_its_gaps(
    scaled: npt.NDArray[np.int64], resolution: float, gaps: set[int]
) -> None:
    values = scaled.astype(np.float64) * resolution
    values[[gap for gap in gaps if gap < len(values)]] = np.nan
    back = telemetry.unpack(telemetry.pack(a_batch(values, resolution)))
    np.testing.assert_allclose(back.columns[0].values, values, rtol=0, atol=resolution / 1e3)
    assert back.start == START
    assert back.period_s == 60.0


def test_a_message_carries_its_records_and_numbers() -> None:
    records = [telemetry.pack(a_batch(np.arange(5.0)))] * 2
    back = telemetry.decode(telemetry.encode(STREAM, 3, 7, records))
    assert (back.stream, back.base_seq, back.first_seq, list(back.records)) == (STREAM, 3, 7, records)


def test_steady_values_cost_next_to_nothing() -> None:
    steady = telemetry.pack(a_batch(np.full(10_000, 42.0)))
    assert len(telemetry.encode(STREAM, 1, 1, [steady])) < 250


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "cut off"),
        (b"not zlib", "zlib|error"),
        (zlib.compress(b"\xff"), "telemetry message"),
        (zlib.compress(cbor2.dumps({"v": 2, "stream": STREAM, "first_seq": 1, "records": [b"x"]})), "version 2"),
        (zlib.compress(cbor2.dumps({"v": 1, "stream": "x", "first_seq": 1, "records": [b"x"]})), "stream"),
        (zlib.compress(cbor2.dumps({"v": 1, "stream": STREAM, "first_seq": 0, "records": [b"x"]})), "first_seq"),
        (zlib.compress(cbor2.dumps({"v": 1, "stream": STREAM, "first_seq": 1, "records": []})), "records"),
        (zlib.compress(b"\0" * (telemetry.MAX_MESSAGE_BYTES + 1)), "larger than"),
    ],
)
def test_a_message_of_somebody_else_is_refused_with_its_reason(payload: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        telemetry.decode(payload)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_decoders_fail_in_another_way_than_with_a_reason(noise: bytes) -> None:
    for decode in (telemetry.decode, telemetry.unpack):
        with contextlib.suppress(ValueError):  # anything else is our bug
            decode(noise)
