"""Synthetic faults, and the examples made of them."""

import numpy as np
import numpy.typing as npt
import pytest

from models.examples import WINDOW, examples_of
from models.faults import KINDS, Mark, inject


def a_series(rows: int = 4000, channels: int = 3) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(5)
    series: npt.NDArray[np.float64] = rng.normal(size=(rows, channels))
    series += 5 * np.sin(np.arange(rows) / 100)[:, np.newaxis]
    return series


def test_rows_without_a_mark_are_unchanged_and_the_original_is_left_alone() -> None:
    series = a_series()
    before = series.copy()
    faulty, marks = inject(series, np.random.default_rng(1))
    assert (series == before).all()
    assert (faulty[marks == Mark.USUAL] == series[marks == Mark.USUAL]).all()
    fault = marks >= Mark.FAULT
    assert (faulty[fault] != series[fault]).mean() > 0.9
    assert 0.05 < fault.mean() < 0.4
    assert set(marks[fault] - Mark.FAULT) == set(range(len(KINDS)))


def test_the_same_seed_makes_the_same_faults() -> None:
    one, other = (inject(a_series(), np.random.default_rng(9)) for _ in range(2))
    assert (one[0] == other[0]).all()
    assert (one[1] == other[1]).all()


def test_a_channel_that_never_moves_gets_no_fault() -> None:
    series = a_series()
    series[:, 1] = 7.0
    faulty, marks = inject(series, np.random.default_rng(1))
    assert (faulty[:, 1] == 7.0).all()
    assert (marks[:, 1] == Mark.USUAL).all()


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_fault_changes_rows_as_its_name_says(name: str) -> None:
    rng = np.random.default_rng(2)
    history, rows = rng.normal(size=500), rng.normal(size=60)
    changed = KINDS[name].change(rows.copy(), history, 9.0, rng)
    difference = changed - rows
    says = {
        "spike": np.allclose(np.abs(difference), 9.0),
        "level shift": np.allclose(np.abs(difference), 9.0),
        "drift": np.isclose(abs(difference[-1]), 9.0) and np.allclose(np.diff(difference, 2), 0),
        "stuck": np.ptp(changed) == 0,
        "noise": changed.std() > 2 * rows.std(),
        "lost seasonality": bool(np.isin(changed, history).all()),
    }
    assert says[name]


def test_examples_are_windows_of_the_agents_own_scorer_half_of_them_faulty() -> None:
    examples = examples_of(a_series(), 60.0, np.random.default_rng(3))
    assert examples.windows.shape == (len(examples.targets), WINDOW)
    assert examples.targets.mean() == 0.5
    assert len(examples.targets) > 500
    assert np.isfinite(examples.windows).all()
    newest = np.abs(examples.windows[:, -1])
    assert newest[examples.targets == 1].mean() > 1.5 * newest[examples.targets == 0].mean()
