"""Regressions learn their device, are uncertain for new inputs, and survive a reboot."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_agent.detection.relations.regression import Prior, Regressions
from edge_agent.detection.trends.multiscale_window import Array

VARIANCE = np.array([0.01])


def one_line(deviation: float = 1.0) -> Regressions:
    """An answer over (1, x) of which the fleet knows that it is near 0."""
    return Regressions(Prior(mean=np.zeros((1, 2)), covariance=deviation**2 * np.eye(2)[np.newaxis]))


def at(x: float) -> Array:
    return np.array([[1.0, x]])


def taught(regressions: Regressions, rows: int = 400) -> Regressions:
    """Answers of 0.5 + 2 x, for x from 0 to 1."""
    rng = np.random.default_rng(1)
    for x in rng.uniform(0, 1, rows):
        regressions.step(at(x), VARIANCE, np.array([0.5 + 2 * x + rng.normal(0, 0.1)]))
    return regressions


def test_a_device_is_learned() -> None:
    expected, doubt, noise = taught(one_line()).step(at(0.5), VARIANCE, np.array([np.nan]))
    assert expected[0] == pytest.approx(1.5, abs=0.1)
    assert np.sqrt(doubt + noise)[0] == pytest.approx(0.1, abs=0.05)


def test_the_answer_is_uncertain_for_inputs_that_the_device_has_not_had() -> None:
    regressions = one_line()
    for _ in range(200):
        regressions.step(at(0.0), VARIANCE, np.array([0.5]))
    _, here, _ = regressions.step(at(0.0), VARIANCE, np.array([np.nan]))
    _, there, _ = regressions.step(at(1.0), VARIANCE, np.array([np.nan]))
    assert there[0] > 25 * here[0]


def test_the_influence_of_an_outlier_is_bounded() -> None:
    absurd, extreme = taught(one_line()), taught(one_line())
    absurd.step(at(0.5), VARIANCE, np.array([1e9]))
    extreme.step(at(0.5), VARIANCE, np.array([3.0]))
    nothing = np.array([np.nan])
    assert absurd.step(at(0.5), VARIANCE, nothing)[0] == pytest.approx(extreme.step(at(0.5), VARIANCE, nothing)[0])


def test_the_learned_state_survives_a_reboot() -> None:
    before, after = taught(one_line()), one_line()
    after.restore_state(json.loads(json.dumps(before.export_state())))
    for x in (0.1, 0.7):
        nothing = np.array([np.nan])
        for one, other in zip(before.step(at(x), VARIANCE, nothing), after.step(at(x), VARIANCE, nothing), strict=True):
            assert one == pytest.approx(other, abs=1e-5)


@pytest.mark.parametrize("part", ["mean", "covariance", "noise", "version"])
@pytest.mark.parametrize("value", [None, "", "not base 64!", "AACAfw==", 7, [1.0]])
def test_a_damaged_state_is_refused_and_changes_nothing(part: str, value: object) -> None:
    regressions = taught(one_line())
    before = regressions.export_state()
    with pytest.raises(ValueError, match="relations: "):
        regressions.restore_state(before | {part: value})
    assert regressions.export_state() == before


@given(
    st.lists(
        st.tuples(arrays(np.float64, (1, 2), elements=st.floats(-1e3, 1e3)), st.floats(allow_infinity=False)),
        max_size=60,
    )
)
def test_expectations_and_deviations_stay_finite(rows: list[tuple[Array, float]]) -> None:
    regressions = one_line()
    for basis, answer in rows:
        expected, doubt, noise = regressions.step(basis, VARIANCE, np.array([answer]))
        assert np.isfinite(expected).all()
        assert np.isfinite(doubt).all()
        assert (doubt >= 0).all()
        assert (noise > 0).all()
