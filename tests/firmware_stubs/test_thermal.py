"""A board warms up as physics says, whoever looks at it and how often."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_stubs.thermal import BARE, FAN_COOLED, HEAT_SINK, STEP_S, Board, Cooling, Fan

STEADY = replace(HEAT_SINK, air_swing=0.0)


def warmed(cooling: Cooling, load: float, minutes: float, resists: float = 1.0) -> Board:
    board = Board(cooling, 0.0, 0.0)
    for second in range(round(minutes * 60 / STEP_S)):
        board.step(load, second * STEP_S, resists=resists)
    return board


@given(load=st.floats(0, 1))
@settings(max_examples=20)
def test_a_board_in_balance_stays_there(load: float) -> None:
    board = Board(STEADY, load, 0.0)
    before = board.chip
    for second in range(600):
        board.step(load, second)
    assert board.chip == pytest.approx(before, abs=1e-6)


def test_a_bare_board_idles_25_k_above_the_air_and_a_stress_test_slows_it_down() -> None:
    assert Board(BARE, 0.0, 0.0).chip - BARE.air_at(0.0) == pytest.approx(20, abs=5)
    assert warmed(BARE, 1.0, 60).chip > 80 > warmed(HEAT_SINK, 1.0, 60).chip


def test_the_chip_is_fast_and_the_board_slow() -> None:
    at_once, later = warmed(STEADY, 1.0, 0.5), warmed(STEADY, 1.0, 30)
    begin = Board(STEADY, 0.0, 0.0).chip
    assert 0.25 < (at_once.chip - begin) / (later.chip - begin) < 0.6


def test_a_slowed_clock_keeps_a_board_below_what_its_load_would_make_of_it() -> None:
    hot = warmed(BARE, 1.0, 120, resists=3.0)
    assert hot.clock < 1
    assert hot.chip < 90


def test_a_fan_turns_from_its_threshold_on_and_not_below_its_other_one() -> None:
    cooling = replace(FAN_COOLED, air_swing=0.0, fan=Fan(on=50.0, off=45.0))
    board, turned = Board(cooling, 0.0, 0.0), []
    for second in range(1800):
        board.step(1.0 if second < 900 else 0.0, second)
        turned.append(board.fan_turns)
        assert board.fan_turns or board.chip < 51
    assert not turned[0]
    assert any(turned)
    assert not turned[-1]


def test_a_broken_fan_leaves_the_board_hotter() -> None:
    works, broken = Board(FAN_COOLED, 0.5, 0.0), Board(FAN_COOLED, 0.5, 0.0)
    for second in range(3600):
        works.step(1.0, second)
        broken.step(1.0, second, fan_works=False)
    assert broken.chip > works.chip + 5
    assert not broken.fan_turns
