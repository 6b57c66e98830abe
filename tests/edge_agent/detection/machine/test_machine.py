"""A machine: learns its healthy start, opens for faults, says which channels carry them, and survives restarts."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.machine import Machine, Machines, MachineSettings
from edge_agent.detection.machine.explanation import FAULT
from tests.builders import a_finding
from tests.edge_agent.detection.machine.pumps import (
    CHANNELS,
    START_S,
    a_learned_machine,
    a_machine,
    faulty_rows,
    feed,
    healthy_rows,
    readings,
    restarted,
)


def test_nothing_is_reported_while_it_learns() -> None:
    machine = a_machine()

    verdicts = feed(machine, faulty_rows(START_S - 1, 0, -20.0))

    assert not any(verdicts)
    assert machine.learning


def test_a_healthy_machine_stays_quiet_for_an_hour() -> None:
    machine = a_learned_machine(start_s=2000)

    assert not any(feed(machine, healthy_rows(3600, seed=5), 2000))


def test_a_drop_in_flow_opens_within_forty_seconds_and_names_the_channel() -> None:
    machine = a_learned_machine()
    feed(machine, healthy_rows(60, seed=3), START_S)

    verdicts = feed(machine, faulty_rows(60, 0, -1.5), START_S + 60)

    first = next(second for second, verdict in enumerate(verdicts) if verdict)
    verdict = verdicts[-1]
    assert first <= 40
    assert verdict is not None
    assert (verdict.fault, verdict.component) == (FAULT, "feed pump")
    assert verdict.carriers[0].metric == CHANNELS["flow"]
    assert verdict.carriers[0].share > 0.8
    assert verdict.basis.evaluated[0] == CHANNELS["flow"]
    assert "pump.flow is 30.5, usually 31." in verdict.reason
    assert "healthy start of 7 min" in verdict.reason


def test_more_noise_is_found_although_the_level_is_normal() -> None:
    machine = a_learned_machine(start_s=2000)
    rows = healthy_rows(240, seed=4)
    rows[:, 2] += 0.05 * np.random.default_rng(1).standard_normal(240)

    verdict = feed(machine, rows, 2000)[-1]

    assert verdict is not None
    assert verdict.carriers[0].metric == CHANNELS["current"]
    assert "pump.current changes by" in verdict.reason or "pump.current varies by" in verdict.reason


def test_a_channel_that_is_stuck_is_found() -> None:
    machine = a_learned_machine()
    rows = healthy_rows(60, seed=4)
    rows[:, 1] = rows[0, 1]

    verdict = feed(machine, rows, START_S)[-1]

    assert verdict is not None
    assert "pump.pressure has not changed for" in verdict.reason


def test_the_alarm_ends_when_the_machine_recovers() -> None:
    machine = a_learned_machine()
    feed(machine, faulty_rows(60, 0, -2.0), START_S)

    assert feed(machine, healthy_rows(60, seed=6), START_S + 60)[-1] is None


def test_a_machine_that_drifts_slowly_is_healthy() -> None:
    machine = a_learned_machine(start_s=2000)
    rows = healthy_rows(7200, seed=7)
    rows[:, 0] += np.linspace(0, 1.6, 7200)  # four deviations in two hours

    assert not any(feed(machine, rows, 2000))


def test_a_vanished_channel_leaves_the_others() -> None:
    machine = a_learned_machine()
    machine.take_remarks()
    verdicts = []
    for second, row in enumerate(faulty_rows(80, 0, -2.0)):
        values = dict(readings(row))
        del values[CHANNELS["pressure"]]
        verdicts.append(machine.step(values, START_S + second))

    assert verdicts[-1] is not None
    assert machine.take_remarks() == [
        "machine feed pump: channel pump.pressure has had no reading for 10 s; the machine is evaluated by the other 2"
    ]


def test_a_channel_that_never_moved_is_left_out() -> None:
    machine = a_machine()
    rows = healthy_rows(START_S)
    rows[:, 1] = 2.5
    feed(machine, rows)

    assert "machine feed pump: channel pump.pressure did not change in the healthy start; evaluated without it" in (
        machine.take_remarks()
    )
    assert feed(machine, faulty_rows(60, 0, -2.0), START_S)[-1] is not None


def test_readings_at_another_rate_are_not_evaluated_and_reported_once() -> None:
    machine = a_learned_machine()
    machine.take_remarks()

    verdicts = [machine.step(readings(row), START_S + 10 * n) for n, row in enumerate(faulty_rows(60, 0, -5.0))]

    assert not any(verdicts)
    assert machine.take_remarks() == [
        "machine feed pump: readings come every 10.0 s, not every second; not evaluated; set sampling.period_s = 1, or "
        "look why the agent is over its budget"
    ]


def test_an_open_alarm_says_that_it_is_not_evaluated_at_another_rate_and_goes_on_afterwards() -> None:
    machine = a_learned_machine()
    feed(machine, faulty_rows(60, 0, -2.0), START_S)

    slow = [machine.step(readings(row), 460 + 10 * n) for n, row in enumerate(healthy_rows(30))][-1]
    assert slow is not None
    assert slow.not_evaluated == "readings come every 10.0 s, not every second"
    assert machine.step({}, 760) is None

    again = feed(machine, faulty_rows(150, 0, -2.0), 770)[-1]
    assert again is not None
    assert again.not_evaluated == ""
    assert feed(machine, healthy_rows(60, seed=6), 920)[-1] is None


def test_samples_that_come_too_soon_are_left_out() -> None:
    machine = a_machine()
    rows = healthy_rows(START_S)
    for number, row in enumerate(np.repeat(rows, 4, axis=0)):
        machine.step(readings(row), number / 4)

    assert not machine.learning


def test_an_unsteady_start_says_how_sure_and_how_to_start_again() -> None:
    machine = a_machine(name="pump", start_s=2000)
    rows = healthy_rows(2000)
    rows[600:1100, 0] -= 4.0
    feed(machine, rows)

    (remark,) = machine.take_remarks()
    assert remark.startswith("machine pump: learned in 33 min, ")
    assert remark.endswith("% sure that it was healthy; to start again: edge-agent machine reset pump")


def test_a_reset_machine_learns_anew() -> None:
    machines = Machines([machine := a_learned_machine()])

    assert machines.reset("feed pump")
    assert not machines.reset("fan")
    assert machine.learning
    assert not any(feed(machine, faulty_rows(60, 0, -5.0), START_S))


def test_learning_goes_on_after_a_restart() -> None:
    machine = a_machine()
    rows = healthy_rows(START_S)
    feed(machine, rows[:300])

    other = restarted(machine)
    feed(other, rows[300:], 300)

    assert not other.learning


def test_a_restart_changes_no_verdict() -> None:
    machine = a_learned_machine()
    feed(machine, healthy_rows(200, seed=2), START_S)

    other = restarted(machine)

    rows = faulty_rows(80, 0, -2.0)
    (mine, theirs) = (feed(one, rows, 1000)[-1] for one in (machine, other))
    assert mine is not None
    assert theirs is not None
    assert theirs.component == mine.component
    assert theirs.confidence == pytest.approx(mine.confidence, abs=0.01)


def test_an_open_finding_is_resumed_until_the_windows_are_full() -> None:
    machine = restarted(a_learned_machine())
    machine.resume(a_finding(fault=FAULT, component="feed pump"))

    verdicts = feed(machine, healthy_rows(60, seed=8), 5000)

    assert verdicts[0] is not None
    assert verdicts[-1] is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"channels": ["other"]},
        {"bars": [1.0]},
        {"bars": [-1.0, 1.0, 1.0]},
        {"noise": "AAAA"},
        {"wander": 7},
        {"used": [2, 1]},
        {"used": []},
        {"rows": "many"},
        {"certainty": 2.0},
        {"alarm": {"raised": "high"}},
        {"start": "not base64"},
    ],
)
def test_a_state_that_is_not_right_is_refused_whole(change: dict[str, object]) -> None:
    state = a_learned_machine().export_state() | change
    machines = Machines([machine := a_machine()])

    with pytest.raises(ValueError, match=r"machine feed pump: .*; it learns anew"):
        machines.restore_state({"feed pump": state})

    assert machine.learning


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(CHANNELS.values(), st.floats(allow_nan=True, allow_infinity=True, width=32))
        ),
        max_size=60,
    )
)
def test_whatever_is_read_the_confidence_is_a_share(samples: list[dict[str, float]]) -> None:
    machine = a_learned_machine(start_s=60)

    for second, values in enumerate(samples):
        verdict = machine.step(values, 60 + second)
        assert verdict is None or 0 <= verdict.confidence <= 1


def test_the_settings_name_the_series() -> None:
    machines = Machines([Machine(MachineSettings(name="fan", channels={"speed": "fan.speed"}))])

    assert machines.series == {"fan.speed"}


@pytest.mark.parametrize("mark", [3.4e38, 1e200, -65_535.0])
def test_an_error_code_of_a_sensor_neither_ends_nor_blinds_the_machine(mark: float) -> None:
    machine = a_learned_machine()
    rows = healthy_rows(600, seed=3)
    rows[100:130, 0] = mark
    feed(machine, rows, START_S)

    assert machine._alarm.raised <= 100.0
    a_machine().restore_state(json.loads(json.dumps(machine.export_state())))


@pytest.mark.parametrize("seed", range(3, 9))
def test_readings_that_stop_open_nothing(seed: int) -> None:
    machine = a_learned_machine(start_s=2000)
    rows = healthy_rows(300, seed)
    rows[-10:] = rows[-11]  # a file of readings is stale after ten seconds
    assert not any(feed(machine, rows, 2000))

    assert not any(machine.step({}, 2300.0 + second) for second in range(60))
