"""Whatever comes in is read, or refused with a reason: nothing else may happen to a reader of foreign bytes."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.parsing import MAX_BYTES, Delivery, ReceivedMessage, parse_content
from edge_agent.protocol import cbor, telemetry
from edge_agent.protocol.records import Presence
from edge_agent.protocol.telemetry import encoding
from edge_agent.protocol.topics import Channel, topic
from tests.builders import DEVICE, NOON, a_chunk, a_finding, a_telemetry_message, an_envelope
from tests.mutations import mutated

CHANNELS = st.sampled_from(Channel)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def taken(channel: Channel | str, payload: bytes) -> Delivery | Presence | None:
    """What was parsed; None where a reason was given."""
    name = topic(DEVICE, channel) if isinstance(channel, Channel) else channel
    try:
        delivery = parse_content(ReceivedMessage(name, payload, NOON))
    except (ValueError, OverflowError, RecursionError):
        return None
    if isinstance(delivery, Delivery):
        assert [item.seq for item in delivery.records] == list(
            range(delivery.records[0].seq, delivery.records[-1].seq + 1)
        )
        assert all(item.problem or item.kind for item in delivery.records)
    return delivery


@given(CHANNELS, st.binary(max_size=300))
def test_any_bytes(channel: Channel, payload: bytes) -> None:
    taken(channel, payload)


@given(st.text())
def test_any_topic(name: str) -> None:
    taken(name, an_envelope(1, a_finding()))


@given(st.integers(0, 2**64))
def test_every_mutation_of_a_good_message(seed: int) -> None:
    taken(*mutated(random.Random(seed)))


@given(st.dictionaries(st.sampled_from(sorted(a_finding().model_dump())), JSON))
def test_any_record_in_a_good_envelope(changes: dict[str, object]) -> None:
    delivery = taken(Channel.FINDINGS, an_envelope(1, a_finding().model_dump(mode="json") | changes, a_finding()))
    if isinstance(delivery, Delivery):
        assert delivery.records[1].problem == ""


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_any_record_in_a_good_message_of_telemetry(records: list[bytes]) -> None:
    delivery = taken(Channel.TELEMETRY, a_telemetry_message(1, *records, a_chunk()))
    assert isinstance(delivery, Delivery)
    assert delivery.records[-1].problem == ""


def test_a_message_that_is_too_large_is_not_even_looked_at() -> None:
    with pytest.raises(ValueError, match="larger than"):
        parse_content(ReceivedMessage(topic(DEVICE, Channel.FINDINGS), b"[" * (MAX_BYTES + 1), NOON))


@pytest.mark.parametrize("spoilt", [{}, {"like": None}])
def test_what_the_records_of_a_message_unfold_to_is_bounded_for_all_of_them(spoilt: dict[str, object]) -> None:
    columns = telemetry.MAX_COLUMNS
    wide = {
        "at": ["b", 1.0, 0, True],
        "period_s": 1.0,
        "rows": 1,
        "aggregates": ["last"],
        "schema": "a\t1\t1\n" * columns,
        "like": np.zeros(columns, "<i2"),
        "width": np.zeros(columns, "<u1"),
        "first": np.zeros(columns, "<i8"),
        "differences": [],
    }
    record = encoding._deflate(cbor.dumps(wide | spoilt))
    most = a_telemetry_message(1, *[record] * 32)
    assert taken(Channel.TELEMETRY, most) is not None
    with pytest.raises(ValueError, match="unfold to more than"):
        parse_content(ReceivedMessage(topic(DEVICE, Channel.TELEMETRY), a_telemetry_message(1, *[record] * 33), NOON))


def test_what_a_message_inflates_to_is_bounded() -> None:
    bomb = encoding._deflate(bytes(telemetry.MAX_RECORD_BYTES))
    with pytest.raises(ValueError, match="unfold to more than"):
        parse_content(ReceivedMessage(topic(DEVICE, Channel.TELEMETRY), a_telemetry_message(1, *[bomb] * 33), NOON))
