"""Missing readings: they open nothing, end nothing, and are not learned as if the channel had been still."""

import numpy as np
import pytest

from edge_agent.detection.machine import Machine
from edge_agent.detection.machine.channels import GONE_S
from edge_agent.detection.machine.machine import KEPT_S
from edge_agent.detection.network import Array
from edge_agent.detection.verdicts import Verdict
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


@pytest.mark.parametrize("gone_s", [GONE_S + 1, 300])
def test_an_outage_of_all_channels_neither_ends_an_open_alarm_nor_counts(gone_s: int) -> None:
    machine = a_learned_machine()
    feed(machine, faulty_rows(60, 0, -2.0), START_S)

    assert not any(machine.step({}, START_S + 60.0 + second) for second in range(gone_s))

    assert all(feed(machine, faulty_rows(200, 0, -2.0), START_S + 60 + gone_s))


def test_a_machine_that_is_healthy_after_an_outage_ends_its_alarm() -> None:
    machine = a_learned_machine()
    feed(machine, faulty_rows(60, 0, -2.0), START_S)
    for second in range(60):
        machine.step({}, START_S + 60.0 + second)

    verdicts = feed(machine, healthy_rows(60, seed=6), START_S + 120)

    assert verdicts[0] is not None
    assert verdicts[-1] is None


def without_flow(machine: Machine, rows: Array, from_s: float) -> list[Verdict | None]:
    """Feed rows whose flow is missing."""
    return [machine.step({**readings(row), CHANNELS["flow"]: np.nan}, from_s + n) for n, row in enumerate(rows)]


def test_an_alarm_does_not_end_while_the_channel_that_carries_it_is_missing() -> None:
    machine = a_learned_machine()
    feed(machine, faulty_rows(60, 0, -2.0), START_S)

    missing = without_flow(machine, healthy_rows(300, seed=4), START_S + 60)
    assert missing[-1] is None  # nothing is known

    assert all(feed(machine, faulty_rows(300, 0, -2.0), START_S + 360))


def test_an_alarm_whose_channel_stays_away_ends_after_an_hour() -> None:
    machine = a_learned_machine()
    feed(machine, faulty_rows(60, 0, -2.0), START_S)
    without_flow(machine, healthy_rows(KEPT_S + 60, seed=4), START_S + 60)

    assert not machine._alarm.open


def test_a_channel_that_was_missing_in_the_healthy_start_is_left_out_over_a_restart_too() -> None:
    machine = a_machine()
    rows = healthy_rows(START_S)
    feed(machine, rows[:250])
    without_flow(machine, rows[250:350], 250)
    machine.take_remarks()
    other = restarted(machine)
    feed(other, rows[350:], 350)

    assert other.take_remarks() == [
        "machine feed pump: channel pump.flow had no reading for 23% of the time in the healthy start; evaluated "
        "without it",
        "machine feed pump: learned in 7 min, 100% sure that it was healthy",
    ]
    assert not any(feed(other, faulty_rows(60, 0, -5.0), START_S))


def test_a_machine_that_stands_still_learns_again_and_says_so() -> None:
    machine = a_machine()
    feed(machine, np.tile(healthy_rows(1), (START_S, 1)))

    assert machine.learning
    assert machine.take_remarks()[-1] == (
        "machine feed pump: no channel is left to evaluate; look at its sensors; learning again for 7 min"
    )


@pytest.mark.parametrize("silent", [True, False])
def test_an_oscillation_is_one_alarm_over_an_outage_although_its_windows_are_two_minutes_long(silent: bool) -> None:
    machine = a_learned_machine(start_s=2000)
    rows = healthy_rows(700, seed=4)
    rows[:, 0] += 0.9 * np.sin(np.arange(700) * 2 * np.pi / 12)
    assert feed(machine, rows[:240], 2000)[-1] is not None

    if silent:
        for second in range(60):
            machine.step({}, 2240.0 + second)

    assert all(feed(machine, rows[240:], 2300))


def test_a_short_outage_in_the_healthy_start_leaves_no_channel_out() -> None:
    machine = a_machine()
    rows = healthy_rows(START_S)
    feed(machine, rows[:200])
    without_flow(machine, rows[200:225], 200)
    feed(machine, rows[225:], 225)

    assert [line for line in machine.take_remarks() if "evaluated without it" in line] == []
    assert feed(machine, faulty_rows(60, 0, -5.0), START_S)[-1] is not None


def test_at_twice_the_rate_a_sample_that_is_left_out_repeats_the_one_before_also_in_an_outage() -> None:
    machine = a_learned_machine()
    feed(machine, faulty_rows(60, 0, -2.0), START_S)

    assert not any(machine.step({}, START_S + 60 + half / 2) for half in range(1, 60))
