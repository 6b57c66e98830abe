"""Records: a record survives a round trip unchanged; an invalid field is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocol import records
from edge_agent.protocol.topics import Lane
from tests.builders import a_finding

STREAM = "0f8fad5b-d9cb-469f-a165-70867728950e"


def test_a_finding_comes_back_as_it_was() -> None:
    finding = a_finding()
    assert records.read_record(json.loads(records.encode(finding))) == finding


def test_fields_of_a_newer_device_are_kept() -> None:
    raw = json.loads(records.encode(a_finding())) | {"mood": "worried"}
    back = records.read_record(raw)
    assert back is not None
    assert back.model_dump()["mood"] == "worried"


def test_a_newer_device_may_add_fields_to_an_instant() -> None:
    raw = json.loads(records.encode(a_finding()))
    raw["at"]["leap_seconds"] = 37
    assert records.read_record(raw) == a_finding()


def test_a_kind_of_a_newer_device_is_not_understood_and_not_refused() -> None:
    assert records.read_record({"kind": "weather", "rain": True}) is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"confidence": 1.5}, "confidence: .*less than or equal to 1.*1.5"),
        ({"phase": "maybe"}, "phase: .*maybe"),
        ({"finding_id": "not hex"}, "finding_id"),
        ({"at": None}, "at: "),
    ],
)
def test_a_wrong_field_is_named_with_its_value(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        records.read_record(json.loads(records.encode(a_finding())) | change)


def test_an_envelope_around_stored_records_reads_as_one_message() -> None:
    bodies = [records.encode(a_finding()), records.encode(a_finding())]
    envelope = records.decode_envelope(records.join_envelope(STREAM, 4, 5, bodies))
    assert (envelope.stream, envelope.base_seq, envelope.first_seq, len(envelope.records)) == (STREAM, 4, 5, 2)


def test_an_unknown_major_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^v: "):
        records.decode_envelope(json.dumps({"v": 2, "stream": STREAM, "first_seq": 1, "records": [{}]}).encode())


@given(st.binary(max_size=100))
def test_noise_is_refused_with_a_reason(noise: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        records.decode_envelope(noise)


def test_a_pack_knows_when_it_was_changed() -> None:
    pack = records.Evidence.model_validate(
        {
            "evidence_id": STREAM,
            "finding_id": STREAM,
            "part": "before",
            "at": a_finding().at,
            "detected_uptime_s": 1.0,
            "series": [],
            "detector": {"judge": "trend", "version": "trends-1"},
        }
    ).sealed()
    assert pack.digest() == pack.sha256
    back = records.read_record(json.loads(records.encode(pack)))
    assert isinstance(back, records.Evidence)
    assert back.digest() == pack.sha256
    assert pack.model_copy(update={"detected_uptime_s": 2.0}).digest() != pack.sha256


@given(
    st.dictionaries(st.sampled_from(Lane), st.tuples(st.from_regex(r"\A[0-9a-f-]{32,36}\Z"), st.integers(0, 2**63 - 1)))
)
def test_an_acknowledgement_that_is_put_together_is_what_the_checked_one_would_be(
    lanes: dict[Lane, tuple[str, int]],
) -> None:
    checked = {lane: records.LaneAck(stream=stream, up_to=up_to) for lane, (stream, up_to) in lanes.items()}
    assert records.join_ack(lanes) == records.encode(records.Ack(lanes=checked))
