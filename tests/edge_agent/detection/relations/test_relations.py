"""Relations: a device that is hotter, slower or more loaded than expected is reported; a busy one is not."""

import json
import math
import re
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.artifacts.fleet import load_fleet, shipped
from edge_agent.detection.anomaly import Alarms
from edge_agent.detection.relations.quantities import Quantity, quantities
from edge_agent.detection.relations.relations import (
    FEWEST_ROWS,
    INPUTS,
    KEEP_ROWS,
    OWN_ROWS,
    RELATIONS,
    WARM_ROWS,
    WIDTH,
    Relations,
    answers,
    basis_of,
    scaled,
)
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.faults import FAULTS
from edge_agent.protocol.metrics import feature_unit, series_attributes
from tests.builders import a_finding

FLEET = load_fleet(shipped())
SENTENCE = re.compile(r"(?:is|takes) ([\d.]+)\D.*?usually ([\d.]+) to ([\d.]+)")
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
    HEAT.replace("/0", "/1"): st.floats(-40, 150),
    "system.disk.operations{disk.io.direction=read,system.device=sdb}": st.floats(0, 1e5),
    "system.disk.io_time{system.device=sdb}": st.floats(0, 1),
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


def verdicts_of(relations: Relations, rows: Iterable[dict[str, float]]) -> list[Verdict]:
    return [verdict for row in rows for verdict in relations.step(row)]


@pytest.mark.parametrize(
    ("wrong", "fault", "component"),
    [
        ({"hotter": 12.0}, "thermal.cooling", "cpu_thermal/0"),
        ({"slow": 4.0}, "disk.slow", "sda"),
        ({"stuck": 2.0}, "load.unexplained", "load"),
    ],
)
def test_a_violated_relation_is_reported_although_each_metric_stays_in_its_range(
    wrong: dict[str, float], fault: str, component: str
) -> None:
    relations = Relations(FLEET)
    assert verdicts_of(relations, a_day()) == []
    # the least busy third of the day: at other times the device is as hot, as slow and as loaded as now
    found = verdicts_of(relations, (a_row(minute, busy=0.05, **wrong) for minute in range(1440, 1500)))
    assert {(verdict.fault, verdict.component) for verdict in found} == {(fault, component)}
    (carrier,) = found[0].carriers
    assert carrier.expected_high is not None
    assert carrier.value > carrier.expected_high
    assert carrier.unit == feature_unit(carrier.metric)
    for verdict in found:
        value, low, high = SENTENCE.findall(verdict.reason)[0]
        assert float(low) <= float(high) < float(value)


def test_a_device_far_from_its_fleet_has_no_verdict_in_its_first_hours() -> None:
    relations = Relations(FLEET)
    rows = list(a_day(minutes=OWN_ROWS + WARM_ROWS - 1, hotter=40.0, slow=60.0, stuck=9.0))
    assert verdicts_of(relations, rows) == []
    assert verdicts_of(relations, a_day(begin=len(rows), hotter=40.0, slow=60.0, stuck=9.0)) == []


def test_a_change_opens_no_case_in_the_first_hours_of_a_device() -> None:
    relations, learns = Relations(FLEET), OWN_ROWS + WARM_ROWS - 40
    verdicts_of(relations, a_day(minutes=learns))
    found = [bool(relations.step(a_row(minute, busy=0.05, slow=6.0))) for minute in range(learns, learns + 60)]
    assert not any(found[:39])
    assert any(found[39:])


def test_a_case_opens_only_with_a_row_that_deviates_itself() -> None:
    relations = Relations(FLEET)
    verdicts_of(relations, a_day())
    cool = quantities(a_row(1440, busy=0.05, hotter=-1.0))
    for minute in range(1440, 1450):
        hot = relations.evaluate(quantities(a_row(minute, busy=0.05, hotter=14.0)))[0]
    last = relations.evaluate(cool)[0]
    assert hot is not None
    assert last is not None
    assert (hot.above, hot.opens) == (True, True)
    assert (last.above, last.opens) == (True, False)
    assert last.observed.answer > last.observed.high


def test_the_component_is_kept_while_the_alarm_is_active_whichever_sensor_is_warmer() -> None:
    relations, other = Relations(FLEET), HEAT.replace("/0", "/1")
    rng = np.random.default_rng(7)

    def both(row: dict[str, float]) -> dict[str, float]:
        return row | {other: row[HEAT] + rng.normal(0, 1)}

    assert verdicts_of(relations, map(both, a_day())) == []
    found = verdicts_of(relations, (both(a_row(minute, busy=0.05, hotter=14.0)) for minute in range(1440, 1560)))
    assert len(found) > 60
    assert len({verdict.component for verdict in found}) == 1
    assert {verdict.basis.evaluated for verdict in found} in ({(HEAT,)}, {(other,)})


def test_of_sensors_as_warm_as_each_other_the_first_by_name_is_named() -> None:
    relations, other = Relations(FLEET), HEAT.replace("/0", "/1")
    verdicts_of(relations, ({other: row[HEAT]} | row for row in a_day()))
    rows = (a_row(minute, busy=0.05, hotter=14.0) for minute in range(1440, 1560))
    assert {verdict.component for verdict in verdicts_of(relations, ({other: row[HEAT]} | row for row in rows))} == {
        "cpu_thermal/0"
    }


def with_disk(name: str, row: dict[str, float]) -> dict[str, float]:
    """The same traffic once more, as another disk's."""
    return row | {series.replace("=sda", f"={name}"): value for series, value in row.items() if "=sda" in series}


def test_a_volume_on_the_disk_is_not_counted_beside_it() -> None:
    one, other = Relations(FLEET), Relations(FLEET)
    for row in [*a_day(), *a_day(begin=1440, minutes=60, slow=4.0)]:
        assert one.step(row) == other.step(with_disk("dm-0", row))


def test_with_several_disks_the_verdict_lists_each() -> None:
    relations = Relations(FLEET)
    assert verdicts_of(relations, (with_disk("sdb", row) for row in a_day())) == []
    slow = (with_disk("sdb", a_row(minute, busy=0.05, slow=4.0)) for minute in range(1440, 1500))
    found = verdicts_of(relations, slow)
    assert {verdict.component for verdict in found} == {"disks"}
    assert {series_attributes(carrier.metric)["system.device"] for carrier in found[0].carriers} == {"sda", "sdb"}
    assert sum(carrier.share for carrier in found[0].carriers) == pytest.approx(1)


def silent(row: dict[str, float]) -> dict[str, float]:
    """A minute without transfers."""
    return {series: 0.0 if "disk" in series else value for series, value in row.items()}


def test_a_slow_disk_stays_active_for_an_hour_without_transfers() -> None:
    relations = Relations(FLEET)
    verdicts_of(relations, a_day())
    assert verdicts_of(relations, (a_row(minute, busy=0.05, slow=4.0) for minute in range(1440, 1500)))
    bursts = (
        silent(a_row(minute, busy=0.05)) if minute // 20 % 2 else a_row(minute, busy=0.05, slow=4.0)
        for minute in range(1500, 1620)
    )
    assert [[verdict.fault for verdict in relations.step(row)] for row in bursts] == [["disk.slow"]] * 120
    last = [bool(relations.step(silent(a_row(minute, busy=0.05)))) for minute in range(1620, 1700)]
    assert last.index(False) <= KEEP_ROWS
    assert not any(last[KEEP_ROWS:])


def test_a_device_without_a_processor_sensor_is_not_evaluated_by_the_temperature_of_a_drive() -> None:
    relations, drive = Relations(FLEET), "hw.temperature{hw.name=nvme/Composite}"
    rows = [*a_day(), *(a_row(minute, busy=0.05, hotter=30.0) for minute in range(1440, 1500))]
    assert not verdicts_of(
        relations, ({drive if one == HEAT else one: value for one, value in row.items()} for row in rows)
    )


def restarted(before: Relations) -> Relations:
    """Another run of the agent, with the learned state and the findings of the one before."""
    after = Relations(FLEET)
    after.restore_state(json.loads(json.dumps(before.export_state())))
    return after


def test_an_active_verdict_continues_over_a_restart_until_rows_end_it() -> None:
    before = Relations(FLEET)
    verdicts_of(before, a_day())
    (*_, published) = verdicts_of(before, (a_row(minute, busy=0.05, slow=4.0) for minute in range(1440, 1500)))
    after = restarted(before)
    after.resume(a_finding(fault=published.fault, component=published.component))
    for minute in range(1500, 1600):
        (verdict,) = after.step(a_row(minute, busy=0.05, slow=4.0))
        assert (verdict.fault, verdict.component) == (published.fault, published.component)
    healed = restarted(after)
    healed.resume(a_finding(fault=published.fault, component=published.component))
    active = [bool(healed.step(a_row(minute, busy=0.05))) for minute in range(1600, 1660)]
    assert all(active[: WARM_ROWS + FEWEST_ROWS - 1])
    assert not any(active[WARM_ROWS + FEWEST_ROWS :])


def test_the_rate_is_shared_between_relations() -> None:
    one, lone = Relations(FLEET, 1.0), Alarms(1.0 / len(RELATIONS), 60.0, start=float(FLEET.bar[0]), caution=0.0)
    exported = one.export_state()["alarms"]
    assert isinstance(exported, list)
    assert exported[0] == lone.export_state()
    assert Alarms(1.0, 60.0, start=2.0).step(0.0).bar < Alarms(1.0 / len(RELATIONS), 60.0, start=2.0).step(0.0).bar


def test_the_first_heavy_load_after_idle_hours_is_no_anomaly() -> None:
    relations = Relations(FLEET)
    idle = [a_row(minute, busy=0.02) for minute in range(120)]
    assert verdicts_of(relations, [*idle, *(a_row(minute, busy=0.9) for minute in range(120, 240))]) == []


def test_the_learned_state_survives_a_reboot() -> None:
    before, after = Relations(FLEET), Relations(FLEET)
    verdicts_of(before, a_day())
    after.restore_state(json.loads(json.dumps(before.export_state())))
    verdicts_of(after, a_day(begin=1440, minutes=60))
    found = verdicts_of(after, (a_row(minute, busy=0.05, slow=4.0) for minute in range(1500, 1560)))
    assert {verdict.fault for verdict in found} == {"disk.slow"}


@pytest.mark.parametrize("part", ["version", "fleet", "regressions", "alarms", "rows"])
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [{}, {}, {}]])
def test_a_damaged_state_is_refused(part: str, value: object) -> None:
    relations = Relations(FLEET)
    before = relations.export_state()
    with pytest.raises(ValueError, match=r"relations: |alarms: "):
        relations.restore_state(before | {part: value})
    assert relations.export_state() == before


@given(ROWS)
@settings(max_examples=30, deadline=None)
def test_strengths_are_finite_and_the_state_is_json_for_any_reading(rows: list[dict[str, float]]) -> None:
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


def test_a_disk_without_transfers_has_no_answer() -> None:
    found = np.zeros(len(Quantity))
    assert math.isnan(answers(found)[1])


def test_the_basis_holds_every_input_and_every_product() -> None:
    inputs = np.arange(1.0, INPUTS + 1)
    basis = basis_of(inputs)
    assert len(basis) == WIDTH
    assert set(basis) >= {1.0, *inputs, *(a * b for a in inputs for b in inputs)}


def test_scaled_values_are_small_and_missing_ones_stay_missing() -> None:
    found = np.array([1.0, 1.0, 50.0, 1e3, 1e9, 1e9, 1e4, np.nan, 1.0, 90.0])
    assert np.nanmax(scaled(found)) < 3
    assert np.isnan(scaled(found)).sum() == 1


def test_each_relation_is_in_the_catalogue() -> None:
    assert {relation.fault for relation in RELATIONS} <= set(FAULTS)
