"""Relations: a device that is hotter, slower or more loaded than the rest explains is named; a busy one is not."""

import json
import math
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.quantities import Quantity
from edge_agent.detection.relations import INPUTS, RELATIONS, WIDTH, Relations, answers, basis_of, squashed
from edge_agent.detection.verdicts import Verdict
from edge_agent.model import load_fleet, shipped
from edge_agent.protocol.faults import FAULTS

FLEET = load_fleet(shipped())
HEAT = "hw.temperature{hw.name=cpu_thermal/0}"
SERIES = {
    "system.cpu.utilization{cpu.mode=user}": st.floats(0, 1),
    "system.cpu.utilization{cpu.mode=iowait}": st.floats(0, 1),
    "system.cpu.load_average.1m": st.floats(0, 100),
    "system.process.created": st.floats(0, 1e4),
    "system.disk.io{disk.io.direction=read,system.device=sda}": st.floats(0, 1e9),
    "system.disk.io{disk.io.direction=write,system.device=sda}": st.floats(0, 1e9),
    "system.disk.operations{disk.io.direction=read,system.device=sda}": st.floats(0, 1e5),
    "system.disk.operations{disk.io.direction=write,system.device=sda}": st.floats(0, 1e5),
    "system.disk.io_time{system.device=sda}": st.floats(0, 1),
    HEAT: st.floats(-40, 150),
}
ROWS = st.lists(st.fixed_dictionaries({}, optional=SERIES), max_size=80)


def a_row(minute: int, *, busy: float, slow: float = 1.0, hotter: float = 0.0, stuck: float = 0.0) -> dict[str, float]:
    """A minute of a device that works for `busy` of its time and writes as it works."""
    rng = np.random.default_rng(minute)
    writes = 5 + 40 * busy
    return {
        "system.cpu.utilization{cpu.mode=user}": busy,
        "system.cpu.utilization{cpu.mode=iowait}": 0.01,
        "system.cpu.utilization{cpu.mode=idle}": 0.99 - busy,
        "system.cpu.load_average.1m": 0.2 + 4 * busy + stuck + rng.normal(0, 0.05),
        "system.process.created": 0.2,
        "system.disk.io{disk.io.direction=read,system.device=sda}": 0.0,
        "system.disk.io{disk.io.direction=write,system.device=sda}": writes * 16_384,
        "system.disk.operations{disk.io.direction=read,system.device=sda}": 0.0,
        "system.disk.operations{disk.io.direction=write,system.device=sda}": writes,
        "system.disk.io_time{system.device=sda}": slow * writes * 2e-3 * rng.uniform(0.9, 1.1),
        HEAT: 40 + 25 * busy + hotter + rng.normal(0, 0.3),
    }


def a_day(begin: int = 0, minutes: int = 1440, **wrong: float) -> Iterator[dict[str, float]]:
    for minute in range(begin, begin + minutes):
        # half an hour of each: the temperature below follows at once, so the means over minutes must not matter
        yield a_row(minute, busy=0.05 + 0.25 * (minute // 30 % 3), **wrong)


def told(relations: Relations, rows: Iterable[dict[str, float]]) -> list[Verdict]:
    return [verdict for row in rows for verdict in relations.step(row)]


@pytest.mark.parametrize(
    ("wrong", "fault", "component"),
    [
        ({"hotter": 12.0}, "thermal.cooling", "cpu_thermal/0"),
        ({"slow": 4.0}, "disk.slow", "sda"),
        ({"stuck": 2.0}, "load.unexplained", "load"),
    ],
)
def test_a_broken_relation_is_named_although_each_metric_stays_in_its_range(
    wrong: dict[str, float], fault: str, component: str
) -> None:
    relations = Relations(FLEET)
    assert told(relations, a_day()) == []
    # the least busy third of the day: at other times the device is as hot, as slow and as loaded as now
    found = told(relations, (a_row(minute, busy=0.05, **wrong) for minute in range(1440, 1500)))
    assert {(verdict.fault, verdict.component) for verdict in found} == {(fault, component)}
    (carrier,) = found[0].carriers
    assert carrier.expected_high is not None
    assert carrier.value > carrier.expected_high
    assert "is usual" in found[0].reason


def test_the_first_heavy_load_after_idle_hours_surprises_nobody() -> None:
    relations = Relations(FLEET)
    idle = [a_row(minute, busy=0.02) for minute in range(120)]
    assert told(relations, [*idle, *(a_row(minute, busy=0.9) for minute in range(120, 240))]) == []


def test_what_was_learnt_survives_a_reboot() -> None:
    before, after = Relations(FLEET), Relations(FLEET)
    told(before, a_day())
    after.restore_state(json.loads(json.dumps(before.export_state())))
    told(after, a_day(begin=1440, minutes=60))
    found = told(after, (a_row(minute, busy=0.05, slow=4.0) for minute in range(1500, 1560)))
    assert {verdict.fault for verdict in found} == {"disk.slow"}


@pytest.mark.parametrize("part", ["version", "fleet", "regressions", "alarms"])
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [{}, {}, {}]])
def test_a_damaged_state_is_refused(part: str, value: object) -> None:
    relations = Relations(FLEET)
    before = relations.export_state()
    with pytest.raises(ValueError, match=r"relations: |alarms: "):
        relations.restore_state(before | {part: value})
    assert relations.export_state() == before


@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_whatever_is_read_strengths_are_finite_and_the_state_stays_json(rows: list[dict[str, float]]) -> None:
    relations = Relations(FLEET)
    for row in rows:
        for verdict in relations.step(row):
            assert 0 <= verdict.confidence <= 1
    json.dumps(relations.export_state(), allow_nan=False)


@given(ROWS)
@settings(max_examples=20, deadline=None)
def test_the_order_of_series_in_a_row_changes_nothing(rows: list[dict[str, float]]) -> None:
    one, other = Relations(FLEET), Relations(FLEET)
    for row in rows:
        assert one.step(row) == other.step(dict(reversed(row.items())))
    assert one.export_state() == other.export_state()


def test_a_disk_without_transfers_says_nothing() -> None:
    found = np.zeros(len(Quantity))
    assert math.isnan(answers(found)[1])


def test_the_basis_holds_every_input_and_every_product() -> None:
    inputs = np.arange(1.0, INPUTS + 1)
    basis = basis_of(inputs)
    assert len(basis) == WIDTH
    assert set(basis) >= {1.0, *inputs, *(a * b for a in inputs for b in inputs)}


def test_squashed_values_are_small_and_leave_what_is_missing_missing() -> None:
    found = np.array([1.0, 1.0, 50.0, 1e3, 1e9, 1e9, 1e4, np.nan, 1.0, 90.0])
    assert np.nanmax(squashed(found)) < 3
    assert np.isnan(squashed(found)).sum() == 1


def test_each_relation_is_in_the_catalogue() -> None:
    assert {relation.fault for relation in RELATIONS} <= set(FAULTS)
