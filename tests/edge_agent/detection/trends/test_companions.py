"""Companions: rates of the host against their usual day, for the ramp's own span; what is unknown is absent."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.trends.companions import Companions
from edge_agent.detection.trends.persistence_features import NAMED
from edge_agent.protocol.metrics import series

READ = series("system.disk.io", disk__io__direction="read", system__device="sda")
WRITE = series("system.disk.io", disk__io__direction="write", system__device="sda")
WRITE_TOO = series("system.disk.io", disk__io__direction="write", system__device="sdb")
RECEIVE = series("system.network.io", network__io__direction="receive", network__interface__name="eth0")
STARTED, LOAD = "system.process.created", "system.cpu.load_average.1m"
DAY, HOUR = 86_400, 3600


def some_companions(values: dict[str, float], seconds: int, step_s: float = 60.0) -> Companions:
    companions = Companions()
    feed(companions, values, seconds, step_s)
    return companions


def feed(companions: Companions, values: dict[str, float], seconds: int, step_s: float = 60.0) -> None:
    for _ in range(int(seconds / step_s)):
        companions.step(values, step_s)


def test_a_host_without_these_metrics_has_no_ratios() -> None:
    found = some_companions({"hw.temperature": 40.0}, HOUR).features(900.0, 60.0)

    assert found.keys() == {"settled"}


def test_a_rate_as_always_has_the_ratio_zero_even_soon_after_the_start() -> None:
    for seconds in (60, HOUR, DAY):
        found = some_companions({LOAD: 2.0, STARTED: 3.0}, seconds).features(900.0, HOUR)
        assert found["load_ratio"] == pytest.approx(0.0, abs=1e-6)
        assert found["started_ratio"] == pytest.approx(0.0, abs=1e-6)


def test_a_busy_quarter_of_an_hour_stands_out_against_a_quiet_day_and_not_against_a_busy_one() -> None:
    quiet, busy = some_companions({WRITE: 1e4}, DAY), some_companions({WRITE: 1e6}, DAY)
    for companions in (quiet, busy):
        feed(companions, {WRITE: 1e6}, 900)

    of_quiet, of_busy = (one.features(900.0, DAY)["written_ratio"] for one in (quiet, busy))
    assert of_quiet > 3.0
    assert of_busy == pytest.approx(0.0, abs=0.01)


def test_the_span_of_the_ramp_chooses_the_mean() -> None:
    companions = some_companions({LOAD: 1.0}, DAY)
    feed(companions, {LOAD: 8.0}, 120)

    short, long = (companions.features(span_s, DAY)["load_ratio"] for span_s in (60.0, 14_400.0))
    assert short > 1.5
    assert long < 0.2


def test_rates_are_summed_over_devices_and_each_direction_counts_by_itself() -> None:
    companions = some_companions({WRITE: 6e5, WRITE_TOO: 4e5, READ: 1e4, RECEIVE: 1e3}, DAY)
    feed(companions, {WRITE: 6e5, WRITE_TOO: 9.4e6, READ: 1e4, RECEIVE: 1e3}, 900)

    found = companions.features(900.0, DAY)

    assert found["written_ratio"] > 1.5
    assert found["read_ratio"] == found["received_ratio"] == pytest.approx(0.0, abs=0.01)


def test_the_time_since_boot_counts_in_hours_as_a_logarithm() -> None:
    settled = [Companions().features(60.0, uptime_s)["settled"] for uptime_s in (0, 60, HOUR, 40 * HOUR, 1e9)]

    assert settled == [-4.0, -4.0, 0.0, pytest.approx(math.log(40)), 4.0]


RATES = st.floats(-1e18, 1e18)


@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from([WRITE, READ, RECEIVE, STARTED, LOAD]), RATES), st.floats(0, 1e6)),
        max_size=20,
    ),
    st.floats(0, 1e7), st.floats(0, 1e9),
)  # fmt: skip
def test_whatever_the_host_does_the_features_are_known_names_with_small_numbers(
    samples: list[tuple[dict[str, float], float]], span_s: float, uptime_s: float
) -> None:
    companions = Companions()
    for values, passed_s in samples:
        companions.step(values, passed_s)

    found = companions.features(span_s, uptime_s)

    assert found.keys() <= set(NAMED)
    assert all(abs(value) <= 5.0 for value in found.values())
