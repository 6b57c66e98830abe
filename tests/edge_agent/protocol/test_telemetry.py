"""The telemetry codec: exact at the declared resolution, small, the same for ever, and hard to upset."""

import contextlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_agent.protocol import cbor, telemetry
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.telemetry import decoding, encoding
from edge_agent.protocol.telemetry.batch import NEWEST

STREAM = "0f8fad5b-d9cb-469f-a165-70867728950e"
START = Instant(boot_id="b", uptime_s=12.5, wall=datetime(2026, 11, 21, 12, tzinfo=UTC), synced=True)
GOLDEN = Path(__file__).parent / "golden"


def a_column(values: npt.NDArray[np.float64], resolution: float = 0.01, **more: Any) -> telemetry.Column:
    known = {"series": "hw.temperature", "aggregate": "last", "unit": "Cel"} | more
    return telemetry.Column(resolution=resolution, values=values, **known)


def a_batch(*columns: telemetry.Column) -> telemetry.Batch:
    return telemetry.Batch(start=START, period_s=60.0, columns=columns)


def a_plain_record(**changes: Any) -> dict[str, Any]:
    """The content of a record of two columns and three rows, before it is deflated."""
    batch = a_batch(a_column(np.array([1.0, 1.5, 1.0])), a_column(np.array([7.0, np.nan, 7.0]), series="b"))
    raw: dict[str, Any] = cbor.loads(decoding._inflate(telemetry.pack(batch), telemetry.Allowance()))
    return raw | changes


@st.composite
def batches(draw: st.DrawFn) -> telemetry.Batch:
    """Any batch: some series, one or three aggregates, noise, courses that run along or against each other, gaps."""
    rows, series = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    aggregates = draw(st.sampled_from([("last",), ("mean", "min", "max")]))
    bound = 2 ** draw(st.sampled_from([1, 7, 15, 31, 53]))
    numbers = hnp.arrays(np.int64, (len(aggregates) * series, rows), elements=st.integers(-bound, bound))
    scaled = draw(numbers)
    if draw(st.booleans()):
        scaled[1:] = scaled[0] // 2 * draw(st.sampled_from([1, -1])) + draw(st.integers(-3, 3))
    resolutions = [draw(st.sampled_from([1.0, 0.5, 0.001, 4096.0, 1e-6])) for _ in range(series)]
    values = scaled * np.array(resolutions * len(aggregates))[:, None]
    values[draw(hnp.arrays(np.bool_, values.shape))] = np.nan
    names = [(aggregate, number) for aggregate in aggregates for number in range(series)]
    return a_batch(
        *(
            a_column(row, resolutions[number], series=f"série{number}", aggregate=aggregate)
            for (aggregate, number), row in zip(names, values, strict=True)
        )
    )


def shape_of(column: telemetry.Column) -> tuple[str, str, str, float]:
    return column.series, column.aggregate, column.unit, column.resolution


@given(batches())
def test_a_batch_comes_back_exactly_at_its_resolution_with_its_gaps(batch: telemetry.Batch) -> None:
    record = telemetry.pack(batch)
    back = telemetry.unpack(record)
    assert (back.start, back.period_s) == (START, 60.0)
    for sent, got in zip(batch.columns, back.columns, strict=True):
        assert shape_of(sent) == shape_of(got)
        np.testing.assert_array_equal(np.round(got.values / got.resolution), np.round(sent.values / sent.resolution))
    assert telemetry.pack(back) == record


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(1e-12, 1e12))
def test_no_reading_upsets_the_encoder(value: float, resolution: float) -> None:
    (back,) = telemetry.unpack(telemetry.pack(a_batch(a_column(np.array([value, 0.0]), resolution)))).columns
    if not np.isfinite(value):
        assert np.isnan(back.values[0])
    else:
        largest = telemetry.LARGEST_MULTIPLE * resolution
        near = np.clip(value, -largest, largest)
        assert abs(back.values[0] - near) <= 0.51 * resolution + 1e-9 * abs(near)


@pytest.mark.parametrize("boot_id", ["b", str(UUID(int=7)), str(UUID(int=0xABCDEF)).upper(), UUID(int=7).hex])
def test_a_boot_id_stays_as_it_is_written(boot_id: str) -> None:
    start = replace(START, boot_id=boot_id, wall=datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), synced=False)
    record = telemetry.pack(replace(a_batch(a_column(np.ones(2))), start=start))
    assert telemetry.start_of(record) == telemetry.unpack(record).start == start


def test_a_name_can_not_break_the_schema() -> None:
    back = telemetry.unpack(telemetry.pack(a_batch(a_column(np.ones(1), series="a\tb\nc"))))
    assert back.columns[0].series == "a_b_c"


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ((), "0 columns"),
        ((a_column(np.ones(0)),), "0 rows"),
        ((a_column(np.ones(2), aggregate="min"), a_column(np.ones(2), series="b", aggregate="max")), "same series"),
        ((a_column(np.ones(2), resolution=0.0),), "resolution"),
        ((a_column(np.ones(telemetry.MAX_CELLS + 1)),), "65536 readings"),
    ],
)
def test_a_batch_that_no_record_can_hold_is_refused(columns: tuple[telemetry.Column, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        telemetry.pack(a_batch(*columns))


def test_the_largest_batch_of_the_worst_noise_fits_into_a_record() -> None:
    noise = np.random.default_rng(1).uniform(-(2.0**52), 2.0**52, (64, telemetry.MAX_CELLS // 64))
    batch = a_batch(*(a_column(row, 1.0, series=f"s{number}") for number, row in enumerate(noise)))
    assert len(telemetry.unpack(telemetry.pack(batch)).columns) == 64


def test_a_message_carries_its_records_and_numbers() -> None:
    records = [telemetry.pack(a_batch(a_column(np.arange(5.0))))] * 2
    back = telemetry.decode(telemetry.encode(STREAM, 3, 7, records))
    assert (back.stream, back.base_seq, back.first_seq, list(back.records)) == (STREAM, 3, 7, records)


def test_steady_values_and_names_of_the_catalogue_cost_next_to_nothing() -> None:
    steady = telemetry.pack(a_batch(a_column(np.full(10_000, 42.0))))
    assert len(steady) < 100


def test_a_series_that_mirrors_another_costs_next_to_nothing() -> None:
    used = np.random.default_rng(1).integers(0, 100, 500).astype(float)
    alone = len(telemetry.pack(a_batch(a_column(used, 1.0))))
    both = a_batch(a_column(used, 1.0, series="used"), a_column(1000.0 - used, 1.0, series="free"))
    assert len(telemetry.pack(both)) < alone + 20


# Golden files: what was ever sent can be read for ever, and what is sent now stays what it is.


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.bin")), ids=lambda path: path.stem)
def test_a_golden_message_means_what_it_always_meant_and_is_written_the_same(path: Path) -> None:
    expected, payload = json.loads(path.with_suffix(".json").read_text()), path.read_bytes()
    message = telemetry.decode(payload)
    assert (message.stream, message.base_seq, message.first_seq) == (
        expected["stream"], expected["base_seq"], expected["first_seq"],
    )  # fmt: skip
    batches = [telemetry.unpack(record) for record in message.records]
    assert [meaning(batch) for batch in batches] == expected["records"]
    again = [telemetry.pack(batch) for batch in batches]
    inflated = [[decoding._inflate(one, telemetry.Allowance()) for one in some] for some in (again, message.records)]
    assert inflated[0] == inflated[1]
    if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng deflates the same bytes to others
        assert telemetry.encode(message.stream, message.base_seq, message.first_seq, again) == payload


def meaning(batch: telemetry.Batch) -> dict[str, Any]:
    """A batch as JSON: values in multiples of the resolution, null where nothing was read."""
    return {
        "boot_id": batch.start.boot_id,
        "uptime_s": batch.start.uptime_s,
        "wall": batch.start.wall.isoformat(),
        "synced": batch.start.synced,
        "period_s": batch.period_s,
        "columns": [
            {
                "series": column.series,
                "aggregate": column.aggregate,
                "unit": column.unit,
                "resolution": column.resolution,
                "multiples": [
                    None if np.isnan(value) else round(float(value) / column.resolution) for value in column.values
                ],
            }
            for column in batch.columns
        ],
    }


def test_a_dictionary_is_for_ever() -> None:
    assert list(telemetry.DICTIONARIES) == [0x89F9C351]


# What is hostile is refused with a reason, at a bounded cost.


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "cut off"),
        (b"\xff", "additional information 31"),
        (cbor.dumps([]), "not a map"),
        (cbor.dumps({"v": 1}), "stream: missing"),
        (b"\0" * (telemetry.MAX_MESSAGE_BYTES + 1), "larger than"),
    ],
)
def test_a_message_of_somebody_else_is_refused_with_its_reason(payload: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"telemetry message: .*{complaint}"):
        telemetry.decode(payload)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"v": 2}, "version 2"),
        ({"stream": "x"}, "stream"),
        ({"base_seq": True}, "base_seq"),
        ({"first_seq": 0}, "first_seq"),
        ({"first_seq": 2**63}, "first_seq"),
        ({"records": []}, "records"),
        ({"records": "x"}, "records"),
        ({"records": [1]}, "records"),
    ],
)
def test_a_message_with_a_field_out_of_range_is_refused(changes: dict[str, Any], complaint: str) -> None:
    sound = {"v": 1, "stream": UUID(STREAM), "base_seq": 1, "first_seq": 1, "records": [b"x"]}
    telemetry.decode(cbor.dumps(sound))
    with pytest.raises(ValueError, match=complaint):
        telemetry.decode(cbor.dumps(sound | changes))


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (b"", "not deflated with a dictionary"),
        (zlib.compress(cbor.dumps({})), "not deflated with a dictionary"),
        (b"\x78\xf9\x12\x34\x56\x78", "dictionary 12345678 is not known"),
        (telemetry.pack(a_batch(a_column(np.ones(9))))[:-1], "cut off"),
        (telemetry.pack(a_batch(a_column(np.ones(9)))) + b"x", "followed by something"),
        (telemetry.pack(a_batch(a_column(np.ones(9))))[:6] + b"\xff\xff\xff", "Error"),
    ],
)
def test_a_record_that_does_not_inflate_is_refused_with_its_reason(record: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"telemetry record: .*{complaint}"):
        telemetry.unpack(record)


def test_a_bomb_is_not_inflated() -> None:
    deflater = zlib.compressobj(9, zdict=NEWEST)
    bomb = deflater.compress(b"\0" * (64 << 20)) + deflater.flush()
    assert len(bomb) < 1 << 17
    with pytest.raises(ValueError, match="larger than"):
        telemetry.unpack(bomb)


def ints(*numbers: int, dtype: str = "<i8") -> npt.NDArray[Any]:
    return np.array(numbers, dtype)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"at": [1, 2]}, "at: must be"),
        ({"at": [1, 1.0, 0, True]}, "at: must be"),
        ({"at": ["b", 1.0, 2**63, True]}, "are no date"),
        ({"at": ["b", float("nan"), 0, True]}, "uptime_s"),
        ({"period_s": 0.0}, "period_s"),
        ({"period_s": float("nan")}, "period_s"),
        ({"period_s": "60"}, "period_s"),
        ({"rows": -3}, "-3 rows"),
        ({"rows": 2**62}, "rows of 2 columns"),
        ({"rows": True}, "True rows"),
        ({"rows": 4}, "differences"),
        ({"aggregates": []}, "0 columns"),
        ({"aggregates": ["last", "last"]}, "aggregates"),
        ({"aggregates": ["last", "max"]}, "typed array of 4"),
        ({"schema": ""}, "0 columns"),
        ({"schema": 5}, "schema"),
        ({"schema": "a\tb\n"}, "schema: 'a"),
        ({"schema": "a\tb\t1e999\n"}, "schema: 'a"),
        ({"schema": "a\tb\tnan\n"}, "schema: 'a"),
        ({"schema": "a\tb\t-1\n"}, "schema: 'a"),
        ({"schema": "a\tb\t1\n" * 5000}, "5000 lines"),
        ({"like": ints(1, 0, dtype="<i2")}, "before the first column"),
        ({"like": ints(0, -2, dtype="<i2")}, "before the first column"),
        ({"like": ints(0, -32768, dtype="<i2")}, "before the first column"),
        ({"like": ints(0, 0)}, "like: must be a typed array"),
        ({"width": ints(3, 0, dtype="<u1")}, "width"),
        ({"width": ints(1, 1, dtype="<u1")}, "differences"),
        ({"width": [1, 0]}, "width"),
        ({"first": ints(1)}, "first"),
        ({"differences": []}, "differences"),
        ({"differences": [b"ab"]}, "differences"),
        ({"missing": ints(6, dtype="<i4")}, "missing"),
        ({"missing": ints(-1, dtype="<i4")}, "missing"),
        ({"missing": ints(2**62, 2**62, 2**62, dtype="<i8")}, "missing"),
        ({"missing": "x"}, "missing"),
    ],
)
def test_a_record_with_a_field_out_of_range_is_refused_before_anything_is_built(
    changes: dict[str, Any], complaint: str
) -> None:
    telemetry.unpack(encoding._deflate(cbor.dumps(a_plain_record())))
    record = encoding._deflate(cbor.dumps(a_plain_record(**changes)))
    for reader in (telemetry.unpack, telemetry.start_of):
        with pytest.raises(ValueError, match=f"telemetry record: .*{complaint}"):
            reader(record)


@pytest.mark.parametrize("field", ["at", "period_s", "rows", "aggregates", "schema", "like", "width", "first"])
def test_a_record_without_a_field_is_refused(field: str) -> None:
    raw = a_plain_record()
    del raw[field]
    with pytest.raises(ValueError, match=f"{field}: missing"):
        telemetry.unpack(encoding._deflate(cbor.dumps(raw)))


def test_a_schema_that_was_found_sound_is_charged_and_counted_like_a_new_one() -> None:
    record = encoding._deflate(cbor.dumps(a_plain_record()))
    for _ in range(2):
        allowance = telemetry.Allowance(columns=3)
        telemetry.start_of(record, allowance)
        assert allowance.columns == 1
        with pytest.raises(telemetry.TooMuchError):
            telemetry.start_of(record, allowance)


def test_a_bad_schema_is_refused_each_time_it_comes() -> None:
    record = encoding._deflate(cbor.dumps(a_plain_record(schema="a\tb\t1\na\tb\t0\n")))
    for _ in range(3):
        with pytest.raises(ValueError, match="schema: 'a"):
            telemetry.start_of(record)


def test_schemas_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_VALID_MAX", 3)
    monkeypatch.setattr(decoding, "_VALID", known := set[bytes]())
    for number in range(10):
        telemetry.start_of(encoding._deflate(cbor.dumps(a_plain_record(schema=f"a{number}\tb\t1\nb\tb\t1\n"))))
        assert 1 <= len(known) <= 3


def test_fields_and_schema_entries_of_a_newer_device_are_skipped() -> None:
    raw = a_plain_record(mood="sunny")
    raw["schema"] = raw["schema"].replace("\n", "\tmore\n")
    assert [one.series for one in telemetry.unpack(encoding._deflate(cbor.dumps(raw))).columns] == [
        "hw.temperature",
        "b",
    ]


@pytest.mark.parametrize("decode", [telemetry.decode, telemetry.unpack, telemetry.start_of])
@given(noise=st.binary(max_size=200))
def test_no_bytes_make_the_decoders_fail_in_another_way_than_with_a_reason(
    decode: Callable[[bytes], object], noise: bytes
) -> None:
    with contextlib.suppress(ValueError):  # anything else is our bug
        decode(noise)


FIELDS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=9), st.binary(max_size=9),
    st.lists(st.integers(-3, 3) | st.text(max_size=3), max_size=4),
    st.sampled_from(["<u1", "<i1", "<i2", "<i4", "<i8"]).flatmap(lambda dtype: hnp.arrays(dtype, st.integers(0, 5))),
)  # fmt: skip


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(a_plain_record())), FIELDS, min_size=1, max_size=3))
def test_what_begins_can_be_unpacked_and_all_else_is_refused(changes: dict[str, Any]) -> None:
    record = encoding._deflate(cbor.dumps(a_plain_record(**changes)))
    try:
        start = telemetry.start_of(record)
    except ValueError:
        return
    batch = telemetry.unpack(record)
    assert batch.start == start
    assert sum(column.values.size for column in batch.columns) <= telemetry.MAX_CELLS
