"""One score for a whole device."""

import json
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.anomaly.age_correction import age_factors
from edge_agent.detection.anomaly.scorer import Score, Scorer

STEP_S = 60.0


def a_scorer(max_channels: int = 256) -> Scorer:
    return Scorer(step_s=STEP_S, max_channels=max_channels)


def quiet_rows(rows: int, channels: int = 4, seed: int = 1) -> npt.NDArray[np.float64]:
    """Noise around a level of its own for each channel."""
    rng = np.random.default_rng(seed)
    noise: npt.NDArray[np.float64] = rng.normal(size=(rows, channels))
    return noise + 10 * np.arange(1, channels + 1)


def samples(rows: npt.NDArray[np.float64]) -> Iterator[tuple[dict[str, float], float]]:
    for number, row in enumerate(rows):
        yield {f"c{channel}": float(value) for channel, value in enumerate(row)}, number * STEP_S


def scores(scorer: Scorer, rows: npt.NDArray[np.float64], midnight_s: float = 0.0) -> list[Score]:
    """`midnight_s`: uptime at a midnight."""
    found = [scorer.step(values, uptime_s, uptime_s - midnight_s) for values, uptime_s in samples(rows)]
    return [score for score in [*found, scorer.step({}, len(rows) * STEP_S)] if score is not None]


def values(found: Sequence[Score]) -> npt.NDArray[np.float64]:
    return np.array([score.value for score in found])


def test_there_is_one_score_for_each_finished_row_and_none_between() -> None:
    scorer = a_scorer()
    got = [scorer.step({"a": 1.0}, uptime_s) is not None for uptime_s in (0, 20, 40, 60, 80, 125, 130, 400)]
    assert got == [False, False, False, True, False, True, False, True]


def test_a_row_is_the_mean_of_its_samples() -> None:
    scorer, rng = a_scorer(), np.random.default_rng(1)
    for second in range(0, 70 * 60, 20):
        score = scorer.step({"a": float(rng.normal())}, second)
    for uptime_s, value in ((4200.0, 1.0), (4220.0, 2.0), (4240.0, 6.0), (4260.0, 0.0)):
        score = scorer.step({"a": value}, uptime_s)
    assert score is not None
    assert score.values == {"a": pytest.approx(3.0)}


def test_a_device_is_not_ready_in_its_first_two_hours() -> None:
    found = scores(a_scorer(), quiet_rows(130))
    assert [score.ready for score in found] == [False] * 120 + [True] * 10


def test_a_fault_raises_the_score_and_names_its_channel() -> None:
    rows = quiet_rows(2000)
    rows[1980:, 2] += 8.0
    found = scores(a_scorer(), rows)
    assert values(found)[300:1980].max() < 0.6 < values(found)[1984:1988].min()
    assert max(found[1982].shares, key=lambda name: found[1982].shares[name]) == "c2"
    assert found[1982].shares["c2"] > 0.7


def test_the_expected_range_is_in_the_unit_of_the_metric() -> None:
    low, high = scores(a_scorer(), quiet_rows(2000))[-1].expected["c3"]
    assert [low, high] == pytest.approx([37.0, 43.0], abs=0.4)


def test_shares_name_at_most_eight_channels_and_never_exceed_the_whole() -> None:
    for score in scores(a_scorer(), quiet_rows(200, channels=20))[100:]:
        assert len(score.shares) == 8
        assert sum(score.shares.values()) <= 1
        assert score.shares.keys() == score.expected.keys() == score.values.keys()


def test_a_new_channel_is_evaluated_after_an_hour_and_raises_no_alarm_before() -> None:
    rows = quiet_rows(400)
    rows[:200, 3] = np.nan
    found = scores(a_scorer(), rows)
    named = [number for number, score in enumerate(found) if "c3" in score.shares]
    assert named[0] == 260
    assert values(found)[200:].max() < 0.8


def test_a_missing_channel_is_not_evaluated_and_the_others_are() -> None:
    rows = quiet_rows(400)
    rows[300:, 0] = np.nan
    found = scores(a_scorer(), rows)
    assert found[-1].shares.keys() == {"c1", "c2", "c3"}
    assert values(found)[300:].max() < 0.8


def test_what_is_usual_at_this_hour_ranks_below_the_same_at_another() -> None:
    """A job runs for an hour each night; on the last day it runs at noon instead."""
    day, rows = 1440, quiet_rows(11 * 1440)
    for start in [*range(120, 10 * day, day), 10 * day + 720]:
        rows[start : start + 60, 0] += 4.0
    found = values(scores(a_scorer(), rows))
    night, noon = 9 * day + 120, 10 * day + 720
    assert found[night + 20 : night + 60].mean() < 0.8 * found[noon + 20 : noon + 60].mean()


def test_the_hour_counts_by_the_clock_and_not_by_the_time_since_the_start() -> None:
    rows = quiet_rows(3 * 1440)
    rows[:, 0] += 6.0 * np.sin(np.arange(len(rows)) / 1440 * 2 * np.pi)
    straight, moved = a_scorer(), a_scorer()
    found, other = (values(scores(one, rows, midnight_s)) for one, midnight_s in ((straight, 0.0), (moved, 86_400.0)))
    assert other == pytest.approx(found)
    assert values(scores(a_scorer(), rows, 3600.0 * 7.5)) != pytest.approx(found)


def test_a_device_without_a_clock_is_evaluated_too() -> None:
    scorer = a_scorer()
    found = [scorer.step(sample, uptime_s) for sample, uptime_s in samples(quiet_rows(300))]
    assert all(score.value < 0.8 for score in found if score)


def test_channels_that_diverge_rank_above_those_that_move_as_far_together() -> None:
    rng = np.random.default_rng(3)
    load = np.repeat(rng.choice([-2.0, 2.0], size=300), 20)
    together = quiet_rows(6000, channels=8) + load[:, np.newaxis]
    apart = together.copy()
    apart[5980:, ::2] -= 2 * load[5980:, np.newaxis]
    found, other = (values(scores(a_scorer(), rows))[5982:6000].mean() for rows in (together, apart))
    assert other > 1.4 * found


def test_constant_channels_make_no_noise() -> None:
    rows = quiet_rows(300)
    rows[:, 1:] = (0.0, 5.0, 1e12)
    assert values(scores(a_scorer(), rows))[120:].max() < 0.8


def test_readings_that_are_no_finite_number_are_dropped_and_counted() -> None:
    scorer = a_scorer()
    rows = quiet_rows(200)
    rows[150] = (math.nan, math.inf, -math.inf, 1e300)
    found = scores(scorer, rows)
    assert scorer.dropped_values == 4
    assert np.isfinite(values(found)).all()
    assert found[150].shares == {}


def test_a_sample_that_is_not_later_than_the_last_is_ignored_and_counted() -> None:
    scorer = a_scorer()
    assert [scorer.step({"a": 1.0}, uptime_s) for uptime_s in (600.0, 600.0, 30.0, math.nan)] == [None] * 4
    assert scorer.ignored_samples == 3
    assert scorer.step({"a": 1.0}, 660.0) is not None


def test_channels_beyond_the_most_are_counted_as_dropped() -> None:
    scorer = a_scorer(max_channels=2)
    scores(scorer, quiet_rows(10, channels=3))
    assert scorer.dropped_values == 10


def test_the_learned_state_survives_a_reboot() -> None:
    one, rows = a_scorer(), quiet_rows(2000)
    scores(one, rows)
    other = a_scorer()
    other.restore_state(json.loads(json.dumps(one.export_state())))
    assert other.export_state() == one.export_state()
    found = scores(other, quiet_rows(60, seed=2))
    assert all(score.ready for score in found)
    assert values(found).max() < 0.8


def test_the_same_burst_counts_for_less_while_channels_are_young_and_a_reboot_makes_none_young_again() -> None:
    week = round(7 * 86_400 / STEP_S)
    quiet, burst = quiet_rows(week + 100), quiet_rows(6, seed=2)
    burst[4:] += 8.0

    def strongest(rows: int) -> float:
        scorer, rebooted = a_scorer(), a_scorer()
        scores(scorer, quiet[:rows])
        rebooted.restore_state(scorer.export_state())
        return max(score.strength for score in scores(rebooted, burst))

    young, grown = strongest(200), strongest(week + 100)
    _, level, jump, _, _ = age_factors(np.array([200 * STEP_S])).ravel()
    assert grown / level < young < 1.1 * grown / jump


@pytest.mark.parametrize(
    "change",
    [{"version": 0}, {"step_s": 1.0}, {"judged": -1}, {"baseline": 1}, {"daily": 1}, {"daily": {}}, {"components": {}}],
)
def test_a_broken_state_is_refused_and_changes_nothing(change: dict[str, object]) -> None:
    scorer = a_scorer()
    scores(scorer, quiet_rows(5))
    before = scorer.export_state()
    with pytest.raises(ValueError, match=r"(scorer|daily|components): "):
        scorer.restore_state(before | change)
    assert scorer.export_state() == before


anything = st.one_of(st.floats(), st.floats(-1e6, 1e6), st.just(0.0))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcd"), anything), max_size=100), st.integers(0, 2**32 - 1))
def test_scores_are_finite_and_within_bounds_for_any_input(odd: list[dict[str, float]], seed: int) -> None:
    scorer = a_scorer()
    rng = np.random.default_rng(seed)
    usual = [{name: float(rng.normal()) for name in "abcd"} for _ in range(70)]
    for number, sample in enumerate([*usual, *odd]):
        score = scorer.step(sample, number * STEP_S)
        if score is not None:
            assert 0 <= score.value < 1
            assert all(0 <= share <= 1 for share in score.shares.values())
            assert sum(score.shares.values()) <= 1 + 1e-9
            assert all(math.isfinite(end) for bounds in score.expected.values() for end in bounds)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_the_order_of_channels_changes_nothing(seed: int, order: list[int]) -> None:
    rows = quiet_rows(150, seed=seed)
    straight, other = a_scorer(), a_scorer()
    for sample, uptime_s in samples(rows):
        turned = {f"c{channel}": sample[f"c{channel}"] for channel in order}
        one, two = straight.step(sample, uptime_s), other.step(turned, uptime_s)
        if one is not None and two is not None:
            assert two.value == pytest.approx(one.value, rel=1e-9)
            assert two.shares == pytest.approx(one.shares, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-6, 1e9), st.floats(-1e3, 1e3), st.integers(0, 2**32 - 1))
def test_scale_and_offset_of_a_channel_change_nothing(scale: float, offset: float, seed: int) -> None:
    rows = quiet_rows(200, seed=seed)
    rows[190:, 2] += 4.0
    moved = rows.copy()
    moved[:, 2] = scale * (rows[:, 2] + offset)
    straight, other = values(scores(a_scorer(), rows)), values(scores(a_scorer(), moved))
    assert other[120:] == pytest.approx(straight[120:], rel=1e-4)
