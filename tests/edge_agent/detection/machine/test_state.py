"""The state of a machine: whatever is stored, it is restored and can be used, or it is refused with a reason."""

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.machine import Machines
from tests.edge_agent.detection.machine.pumps import START_S, a_learned_machine, a_machine, feed, healthy_rows
from tests.edge_agent.detection.test_pipeline_machines import a_pipeline

LEARNED: dict[str, Any] = json.loads(json.dumps(a_learned_machine().export_state()))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ANY_NUMBERS = st.binary(min_size=12, max_size=12).map(lambda raw: np.frombuffer(raw, "<f4"))


def restored(part: object) -> str:
    """Restore the state of one machine and run it for half a minute; return why it was refused, if it was."""
    machines = Machines([machine := a_machine()])
    try:
        machines.restore_state({"feed pump": part})
    except ValueError as error:
        assert machine.learning
        return str(error)
    with np.errstate(all="raise", under="ignore"):
        for verdict in feed(machine, healthy_rows(30, seed=1), START_S):
            assert verdict is None or 0 <= verdict.confidence <= 1
    return ""


def test_what_was_exported_is_restored() -> None:
    assert restored(LEARNED) == ""


@pytest.mark.parametrize(
    "used", [[[0], 1, 2], [{}], [None], [True], [0, 0, 1], [0.0, 1, 2], [3], [-1], {"0": 1}, "012"]
)
def test_places_that_are_none_are_refused_with_the_reason(used: object) -> None:
    assert "used must list places of channels in order" in restored(LEARNED | {"used": used})


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(LEARNED)), ANYTHING)
def test_a_part_that_is_anything_at_all_stops_nothing(key: str, value: object) -> None:
    restored(LEARNED | {key: value})


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["noise", "still_s"]), ANY_NUMBERS)
def test_numbers_of_any_size_stop_nothing(key: str, numbers: "np.typing.NDArray[np.float32]") -> None:
    restored(LEARNED | {key: _packed(numbers)})


@settings(max_examples=100, deadline=None)
@given(st.floats(width=32), st.sampled_from(["wander", "reference"]))
def test_a_table_of_any_number_stops_nothing(number: float, key: str) -> None:
    restored(LEARNED | {key: _packed(np.full(18, number, "<f4"))})


@pytest.mark.parametrize(("number", "refused"), [(np.nan, False), (np.inf, True), (-np.inf, True)])
def test_a_reading_of_the_start_may_be_missing_and_nothing_else(number: float, refused: bool) -> None:
    state = a_machine().export_state() | {"start": _packed(np.full(30, number, "<f4"))}

    assert bool(restored_start(state)) is refused


def restored_start(state: dict[str, object]) -> str:
    """Restore a machine that is still learning, and finish its start; return why it was refused, if it was."""
    machine = a_machine()
    try:
        machine.restore_state(state)
    except ValueError as error:
        return str(error)
    feed(machine, healthy_rows(START_S - 10))
    assert not machine.learning
    return ""


@settings(max_examples=100, deadline=None)
@given(ANYTHING)
def test_a_state_that_is_anything_at_all_is_dropped_with_a_reason(value: object) -> None:
    reasons = a_pipeline().restore_state({"machines": {"feed pump": value}})

    assert bool(reasons) == bool(value)


def _packed(numbers: "np.typing.NDArray[np.float32]") -> str:
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode()
