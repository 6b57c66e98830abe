"""Topics, metric names, the catalogue and the wording of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocol import topics
from edge_agent.protocol.faults import FAULTS, Severity
from edge_agent.protocol.metrics import METRICS, metric_of, series, series_attributes, series_name
from edge_agent.protocol.wording import duration, quantity


@given(st.from_regex(topics.DEVICE_ID, fullmatch=True), st.sampled_from(topics.Channel))
def test_a_topic_reads_back_as_its_device_and_channel(device: str, channel: topics.Channel) -> None:
    assert topics.parse(topics.topic(device, channel)) == (device, channel)


@pytest.mark.parametrize(
    "text", ["forewarn/v1/pump-07", "forewarn/v2/pump-07/ack", "forewarn/v1/a b/ack", "forewarn/v1/pump-07/x/ack", ""]
)
def test_a_foreign_topic_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|is not"):
        topics.parse(text)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_series_keeps_name_and_attributes_apart_whatever_they_hold(sensor: str, label: str) -> None:
    name = series("hw.temperature", hw__name=sensor, hw__limit_type=label)
    assert series_name(name) == "hw.temperature"
    assert set(series_attributes(name)) == {"hw.name", "hw.limit_type"}


def test_a_metric_of_somebody_elses_collector_counts_as_a_gauge() -> None:
    assert metric_of("acme.pressure{line=2}").kind == "gauge"


def test_every_fault_describes_what_the_customer_notices_and_what_staff_can_do() -> None:
    for fault in FAULTS.values():
        assert fault.impact
        assert fault.advice
        assert fault.source
        assert fault.headline.format(component="/", device="pump-07") != fault.headline


def test_every_metric_has_a_unit_and_a_resolution() -> None:
    assert all(metric.unit and metric.resolution > 0 and metric.what for metric in METRICS.values())


def test_severities_are_ranked_by_urgency() -> None:
    assert [severity.rank for severity in Severity] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (540, "9 min"), (11_400, "3 h 10 min"), (7200, "2 h"), (187_200, "2 d 4 h"), (172_800, "2 d")],
)
def test_durations_are_formatted_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "By", "0 B"),
        (1023, "By", "1,023 B"),
        (536_870_912, "By", "512 MiB"),
        (0.125, "1", "12.5 %"),
        (48.7, "Cel", "48.7 °C"),
        (2.4e9, "Hz", "2,400 MHz"),
        (2_466_183, "{fd}", "2,466,183 open files"),
    ],
)
def test_amounts_carry_their_unit(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text
