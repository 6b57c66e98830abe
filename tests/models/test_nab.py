"""The Numenta benchmark's scoring: a corpus small enough to be worked out by hand."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.datasets import DataError, Stream
from models.nab import NOTHING, PROFILES, Corpus, Points, load_corpus

START = datetime(2026, 1, 1)  # noqa: DTZ001  the benchmark's timestamps have no zone
ROWS = 100
STANDARD = PROFILES["standard"]


def at(row: int) -> datetime:
    return START + timedelta(minutes=5 * row)


def a_stream(rows: int = ROWS) -> Stream:
    times = np.array([at(row) for row in range(rows)], "datetime64[us]")
    return Stream(name="nab/real/one", sha256="", period_s=300.0, times=times, values=np.zeros(rows))


def corpus(*windows: tuple[int, int]) -> Corpus:
    return Corpus({"one.csv": a_stream()}, {"one.csv": [(at(first), at(last)) for first, last in windows]})


def points(held: Corpus, *rows: int, threshold: float | None = 0.5, profile: str = "standard") -> float:
    score = np.zeros(ROWS)
    score[list(rows)] = 1.0
    found = {"one.csv": score}
    rules = PROFILES[profile]
    return (held.best(found, rules) if threshold is None else held.at(found, rules, threshold)).points


def sigmoid(place: float) -> float:
    return float(2 / (1 + np.exp(5 * place)) - 1)


def test_no_alarm_scores_zero_and_an_alarm_in_the_first_row_of_every_window_scores_a_hundred() -> None:
    held = corpus((40, 49), (70, 79))
    assert points(held) == 0.0
    assert points(held, 40, 70) == pytest.approx(100.0)


def test_a_late_detection_earns_less_by_the_sigmoid_and_only_the_earliest_counts() -> None:
    held = corpus((40, 49))
    # the row after 5 of 10 lies half a width before the end: it earns that share of 1, instead of the loss of 1
    earned = sigmoid(-0.5) / sigmoid(-1.0)
    assert points(held, 45) == points(held, 45, 47, 49) == pytest.approx(100 * (earned + 1) / 2)


def test_a_row_outside_costs_its_share_and_less_close_behind_a_window() -> None:
    held = corpus((40, 49))
    before, behind, far = (points(held, 40, row) for row in (20, 51, 99))
    assert before == far == pytest.approx(100 * (1 - 0.11 + 1) / 2)
    assert behind == pytest.approx(100 * (1 + 0.11 * sigmoid(2 / 9) + 1) / 2)
    assert points(held, 40, 20, profile="reward_low_FP_rate") == pytest.approx(100 * (1 - 0.22 + 1) / 2)
    assert points(held, 40, 20, profile="reward_low_FN_rate") == pytest.approx(100 * (1 - 0.11 + 2) / 3)


def test_the_first_rows_are_probation_and_a_window_within_them_is_neither_won_nor_lost() -> None:
    held = corpus((5, 10), (40, 49))
    assert points(held, 7, 14, 40) == pytest.approx(100 * 2 / 3)
    assert points(held, 15, 40) < points(held, 14, 40)


def test_the_best_threshold_is_found_and_no_detector_does_worse_than_saying_nothing() -> None:
    held = corpus((40, 49))
    score = np.linspace(0.9, 0.0, ROWS)
    score[40] = 1.0
    assert held.best({"one.csv": score}, STANDARD) == Points(100.0, 1.0)
    score[40:50] = 0.0
    assert held.best({"one.csv": score}, STANDARD) == Points(0.0, NOTHING)


def test_a_window_that_is_not_in_the_stream_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"one\.csv: windows\.json has 2026-01-01 08:20:00"):
        corpus((40, 100))
    (tmp_path / "windows.json").write_text('["one.csv"]')
    with pytest.raises(DataError, match="must map each csv file"):
        load_corpus(tmp_path)
