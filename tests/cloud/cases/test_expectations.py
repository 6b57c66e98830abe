"""What a label teaches the device: how far, until when, and when it is taken back."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cases.expectations import (
    Expected,
    ExpectedFault,
    SeenFault,
    message,
    on_labelled,
    on_reopened,
    on_seen,
)
from cloud.cases.outcomes import Label
from edge_agent.protocol.records import MAX_EXPECTED, decode_expected, encode
from tests.builders import NOON

DISK = SeenFault(fault="disk.filling", component="/data", least_left=2.1e9)
JOB = SeenFault(fault="service.failed", component="backup.service")
PATTERN = SeenFault(fault="machine.anomaly", component="Feed pump")


def labelled(label: Label, *seen: SeenFault, number: int = 7, before: Expected = ()) -> Expected:
    return on_labelled(before, number, label, seen, NOON)[0]


@pytest.mark.parametrize(
    ("label", "seen", "days"),
    [
        (Label.EXPECTED, DISK, 180),
        (Label.FALSE_ALARM, DISK, 30),
        (Label.EXPECTED, JOB, 180),
        (Label.EXPECTED, PATTERN, 14),
        (Label.FALSE_ALARM, PATTERN, 14),
    ],
)
def test_what_was_expected_or_false_is_a_note_for_a_time(label: Label, seen: SeenFault, days: int) -> None:
    (one,) = labelled(label, seen)
    assert (one.key, one.until) == ((seen.fault, seen.component), NOON + timedelta(days=days))
    assert one.least_left == (seen.least_left or 0.0)


@pytest.mark.parametrize("label", [Label.TRUE_FAULT, Label.NO_FAULT_FOUND, Label.DUPLICATE])
def test_other_labels_teach_nothing_and_take_back_what_the_case_taught_before(label: Label) -> None:
    assert labelled(label, DISK) == ()
    assert labelled(label, DISK, before=labelled(Label.EXPECTED, DISK)) == ()


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (SeenFault(fault="storage.read_only", component="/"), "critical faults are always reported"),
        (SeenFault(fault="disk.filling", component="/data"), "its headroom is not known"),
        (SeenFault(fault="flux.capacitor", component="x"), "not in the fault catalogue"),
        (SeenFault(fault="ingest.dead_letters", component="pump-07"), "nothing for the device to learn"),
        (SeenFault(fault="device.absent", component="device"), "nothing for the device to learn"),
    ],
)
def test_what_can_not_be_bounded_or_must_not_be_missed_is_reported_as_usual(seen: SeenFault, why: str) -> None:
    expected, (reason,) = on_labelled((), 7, Label.EXPECTED, [seen], NOON)
    assert expected == ()
    assert why in reason


def test_a_reopened_case_takes_back_what_it_taught_and_nothing_else() -> None:
    both = labelled(Label.EXPECTED, JOB, number=8, before=labelled(Label.EXPECTED, DISK))
    kept, reasons = on_reopened(both, 7)
    assert [one.case_number for one in kept] == [8]
    assert reasons == ("The device reports this fault as usual again.",)
    assert on_reopened(kept, 7) == (kept, ())


def test_a_fault_that_goes_on_after_the_closing_extends_what_is_expected() -> None:
    expected = labelled(Label.EXPECTED, DISK)
    (further,) = on_seen(expected, 7, [SeenFault(fault="disk.filling", component="/data", least_left=1e9)])
    assert further.least_left == 1e9
    assert on_seen(expected, 8, [SeenFault(fault="disk.filling", component="/data", least_left=1e9)]) == expected
    assert on_seen(expected, 7, [SeenFault(fault="disk.filling", component="/data", least_left=9e9)]) == expected


def test_the_message_is_read_by_the_device_and_leaves_out_what_is_over() -> None:
    expected = labelled(Label.EXPECTED, DISK, JOB, PATTERN)
    read = decode_expected(encode(message(expected, NOON + timedelta(days=20))))
    assert [one.fault for one in read.expected] == ["disk.filling", "service.failed"]


@given(st.lists(st.tuples(st.sampled_from(list(Label)), st.integers(1, 100)), max_size=100))
def test_a_device_is_never_sent_more_than_it_can_read(closings: list[tuple[Label, int]]) -> None:
    expected: tuple[ExpectedFault, ...] = ()
    for number, (label, disk) in enumerate(closings):
        seen = SeenFault(fault="disk.filling", component=f"/disk-{disk}", least_left=1.0)
        expected, _ = on_labelled(expected, number, label, [seen], NOON + timedelta(days=number))
    assert len({one.key for one in expected}) == len(expected) <= MAX_EXPECTED
