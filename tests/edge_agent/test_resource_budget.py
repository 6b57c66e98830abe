"""Resource budget: the degradation level falls while a budget is exceeded, and rises again after it."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.resource_budget import (
    CALM_WINDOWS,
    CPU,
    DAY_WINDOWS,
    MEMORY,
    SENT,
    WINDOW_S,
    WRITTEN,
    Budgets,
    Limits,
)
from edge_agent.resource_budget import DegradationLevel as Level

BUDGETS = Budgets(cpu=0.1, memory_bytes=100.0, sent_bytes=1000.0, written_bytes=1000.0)


def windows(limits: Limits, count: int, begin: int = 0, **used: float) -> list[Level]:
    """Step through windows with these readings; `sent` and `written` are bytes a window."""
    levels = []
    for window in range(begin, begin + count):
        for part in range(11):
            now_s = WINDOW_S * (1.1 * window + 0.105 * part)
            values = {
                CPU: used.get("cpu", 0.01),
                MEMORY: used.get("memory", 10.0),
                SENT: (window + part / 11) * used.get("sent", 0.0),
                WRITTEN: (window + part / 11) * used.get("written", 0.0),
            }
            limits.step(values, now_s)
        levels.append(limits.level)
    return levels


def test_within_its_budgets_the_level_is_normal() -> None:
    assert set(windows(Limits(BUDGETS), 200, cpu=0.099, memory=99.0, sent=5.0, written=5.0)) == {Level.NORMAL}


def test_no_budget_is_no_limit() -> None:
    assert set(windows(Limits(Budgets()), 5, cpu=9.0, memory=1e12, sent=1e12, written=1e12)) == {Level.NORMAL}


def test_too_much_cpu_lowers_the_level_by_one_a_window_down_to_findings_only() -> None:
    limits = Limits(BUDGETS)
    assert windows(limits, 5, cpu=0.2) == [
        Level.SLOW_SAMPLING,
        Level.SPARSE_TELEMETRY,
        *[Level.FINDINGS_ONLY] * 3,
    ]
    (excess,) = limits.excesses
    assert (excess.name, excess.budget) == ("cpu", 0.1)


def test_an_agent_over_its_budget_only_at_the_normal_level_returns_to_it_ever_more_rarely() -> None:
    limits, levels = Limits(BUDGETS), []
    for window in range(5 * DAY_WINDOWS):
        levels += windows(limits, 1, window, cpu=0.11 if limits.level is Level.NORMAL else 0.03)
    changes = [window for window in range(1, len(levels)) if levels[window] is not levels[window - 1]]
    assert len(changes) < 30
    assert sum(window >= 4 * DAY_WINDOWS for window in changes) <= 2


def test_the_level_rises_by_one_at_a_time_and_only_after_windows_of_low_use() -> None:
    limits = Limits(BUDGETS)
    windows(limits, 2, cpu=0.2)
    assert set(windows(limits, 10, 2, cpu=0.09)) == {Level.SPARSE_TELEMETRY}, "just below the budget is not low"
    levels = windows(limits, 2 * CALM_WINDOWS, 12, cpu=0.05)
    assert levels[CALM_WINDOWS - 1 :] == [*[Level.SLOW_SAMPLING] * CALM_WINDOWS, Level.NORMAL]
    assert limits.excesses == ()


def test_a_burst_of_cpu_shorter_than_a_window_does_not_lower_the_level() -> None:
    limits = Limits(BUDGETS)
    for second in range(700):
        limits.step({CPU: 1.0 if second < 30 else 0.01}, float(second))
    assert limits.level is Level.NORMAL


def test_the_more_a_day_exceeds_its_budget_the_lower_the_level() -> None:
    for a_day, level in (
        (990.0, Level.NORMAL),
        (1010.0, Level.SLOW_SAMPLING),
        (1300.0, Level.SPARSE_TELEMETRY),
        (5000.0, Level.FINDINGS_ONLY),
    ):
        assert windows(Limits(BUDGETS), DAY_WINDOWS, sent=a_day / DAY_WINDOWS)[-1] is level


def test_sent_bytes_count_for_a_day_and_not_longer() -> None:
    limits = Limits(BUDGETS)
    limits.step({SENT: 0.0}, 0.0)
    limits.step({SENT: 2000.0}, WINDOW_S)
    levels = [limits.level]
    for window in range(2, 2 * DAY_WINDOWS + 4):
        limits.step({SENT: 2000.0}, WINDOW_S * window)
        levels.append(limits.level)
    assert (levels[0], levels[-1]) == (Level.FINDINGS_ONLY, Level.NORMAL)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1e4), st.floats(0, 1e5)), min_size=1, max_size=60))
def test_below_the_normal_level_an_exceeded_budget_is_named(
    readings: list[tuple[float, float, float]],
) -> None:
    limits, sent, before = Limits(BUDGETS), 0.0, Level.NORMAL
    for window, (cpu, memory, more) in enumerate(readings):
        sent += more
        changed = limits.step({CPU: cpu, MEMORY: memory, SENT: sent}, window * WINDOW_S)
        assert changed == (limits.level is not before)
        assert bool(limits.excesses) == (limits.level is not Level.NORMAL)
        before = limits.level
