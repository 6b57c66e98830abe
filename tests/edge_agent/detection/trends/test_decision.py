"""The decision: a case where waiting costs more than a false case."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.trends.decision import ACT_S, CALM_S, LIKELY, URGENT, bar, opens_case


def test_with_much_time_left_a_case_needs_a_likely_trend_and_with_little_less() -> None:
    assert bar(CALM_S) == bar(30 * CALM_S) == LIKELY
    assert bar(ACT_S) == bar(0.0) == URGENT
    assert opens_case(0.3, ACT_S)
    assert not opens_case(0.3, CALM_S)


@given(st.floats(0, 1), st.floats(0, 1e7), st.floats(0, 1e7))
def test_less_time_never_makes_a_case_a_note(probability: float, one_s: float, other_s: float) -> None:
    near_s, far_s = sorted((one_s, other_s))
    assert opens_case(probability, near_s) or not opens_case(probability, far_s)
