"""Channels that vanish, come back, or change at another rate give one line each."""

import numpy as np

from edge_agent.detection.machine.channels import BACK_S, GONE_S, Channels, filled, seconds_between_changes


def read(channels: Channels, seconds: int, **values: float) -> list[bool] | None:
    found = None
    for _ in range(seconds):
        found = channels.step(values)
    return found[1].tolist() if found else None


def test_a_channel_that_is_missing_for_a_moment_keeps_its_last_reading() -> None:
    channels = Channels("pump", ("a", "b"))
    channels.step({"a": 1.0, "b": 2.0})

    found = channels.step({"a": 3.0})

    assert found is not None
    assert found[0].tolist() == [3.0, 2.0]
    assert found[1].all()


def test_a_channel_that_vanishes_is_reported_once_and_left_out_until_it_is_back() -> None:
    channels = Channels("pump", ("a", "b"))
    channels.step({"a": 1.0, "b": 2.0})

    assert read(channels, GONE_S + 20, a=1.0) == [True, False]
    assert channels.remarks == [
        "machine pump: channel b has had no reading for 10 s; the machine is evaluated by the other 1"
    ]
    assert read(channels, BACK_S - 1, a=1.0, b=2.0) == [True, False]
    assert read(channels, 1, a=1.0, b=2.0) == [True, True]
    assert channels.remarks[1:] == ["machine pump: channel b is back"]


def test_nothing_is_evaluated_before_every_channel_was_read_or_has_vanished() -> None:
    channels = Channels("pump", ("a", "b"))

    assert read(channels, GONE_S - 1, a=1.0) is None
    assert read(channels, 1, a=1.0) == [True, False]


def test_a_reading_that_is_no_number_is_none() -> None:
    channels = Channels("pump", ("a",))

    assert channels.step({"a": float("nan")}) is None


def test_the_rate_of_a_slow_channel_is_seen() -> None:
    rng = np.random.default_rng(0)

    assert seconds_between_changes(np.repeat(rng.standard_normal(60), 5)) == 5
    assert seconds_between_changes(rng.standard_normal(300)) == 1
    assert seconds_between_changes(np.zeros(300)) == 1


def test_channels_that_come_back_after_all_had_vanished_count_at_once() -> None:
    channels = Channels("pump", ("a", "b"))
    channels.step({"a": 1.0, "b": 2.0})
    read(channels, GONE_S)

    assert read(channels, 1, a=1.0, b=2.0) == [True, True]
    assert channels.restarts
    assert read(channels, 1, a=1.0, b=2.0) == [True, True]
    assert not channels.restarts


def test_channels_that_come_and_go_are_reported_once() -> None:
    channels = Channels("pump", ("a", "b"))
    for _ in range(20):
        read(channels, 30, a=1.0, b=2.0)
        read(channels, GONE_S + 5)
    assert len(channels.remarks) == 2

    read(channels, BACK_S, a=1.0, b=2.0)
    assert channels.remarks[2:] == ["machine pump: channel a is back", "machine pump: channel b is back"]


def test_missing_readings_are_filled_with_the_one_before() -> None:
    none = np.nan

    assert filled(np.array([[none, 1.0], [2.0, none], [none, 3.0]])).tolist() == [[2.0, 1.0], [2.0, 1.0], [2.0, 3.0]]
