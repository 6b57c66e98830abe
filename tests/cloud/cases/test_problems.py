"""When cases are one problem, and what stays apart from it."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cases import problems
from cloud.cases.cases import Refused
from cloud.cases.problems import Member, Problem, ProblemState, Scope
from cloud.cases.rules import Rules
from edge_agent.protocol.faults import Severity
from tests.builders import NOON
from tests.cloud.cases.test_cases import a_case

RULES = Rules()


def a_member(
    number: int = 0,
    *,
    device: str = "",
    fault: str = "disk.filling",
    after_s: float = 0,
    firmware: str = "fw-9",
    site: str = "",
    model: str = "",
) -> Member:
    at = NOON + timedelta(seconds=after_s)
    return Member(
        number=number,
        device=device or f"pump-{number}",
        fault=fault,
        at=at,
        firmware=firmware,
        site=site,
        model=model,
    )


def a_problem(*members: Member) -> Problem:
    group = problems.find_group(a_member(), members or (a_member(1), a_member(2)), RULES)
    assert group is not None
    return replace(problems.opened(a_member(), group, RULES, NOON)[0], number=1)


def test_three_devices_with_something_in_common_are_a_problem_and_two_are_not() -> None:
    assert problems.find_group(a_member(), [a_member(1)], RULES) is None
    group = problems.find_group(a_member(), [a_member(1), a_member(2)], RULES)
    assert group == (Scope.FIRMWARE, (a_member(1), a_member(2)))


def test_one_device_with_three_cases_is_no_problem() -> None:
    others = [a_member(number, device="pump-0") for number in (1, 2, 3)]
    assert problems.find_group(a_member(), others, RULES) is None


@pytest.mark.parametrize("other", [{"fault": "fd.leak"}, {"firmware": "fw-8"}, {"after_s": -3601}])
def test_another_fault_firmware_or_time_does_not_count(other: dict[str, str]) -> None:
    assert problems.find_group(a_member(), [a_member(1), a_member(2, **other)], RULES) is None  # type: ignore[arg-type]


def test_what_nobody_knows_is_not_in_common() -> None:
    nothing = [a_member(number, firmware="") for number in range(1, 9)]
    assert problems.find_group(a_member(firmware=""), nothing, RULES) is None


def test_the_most_telling_thing_in_common_names_the_problem() -> None:
    site = [a_member(number, firmware=f"fw-{number}", site="Harbour", model="Pi 5") for number in (1, 2)]
    group = problems.find_group(a_member(site="Harbour", model="Pi 5"), site, RULES)
    assert group is not None
    assert group[0] is Scope.SITE


def test_a_case_joins_the_oldest_problem_that_fits_while_it_grows() -> None:
    first, second = a_problem(), replace(a_problem(), number=2)
    assert problems.find_problem(a_member(), [second, first], RULES) == first
    assert problems.find_problem(a_member(after_s=3601), [first], RULES) is None
    assert problems.find_problem(a_member(firmware="fw-8"), [first], RULES) is None
    assert problems.find_problem(a_member(fault="fd.leak"), [first], RULES) is None
    assert problems.find_problem(a_member(), [replace(first, state=ProblemState.CLOSED)], RULES) is None


def test_a_critical_fault_of_another_kind_is_never_buried_in_a_problem() -> None:
    member = replace(a_case(), problem_number=1)
    assert problems.stands_apart("storage.read_only", Severity.CRITICAL, member, None)
    assert not problems.stands_apart("storage.read_only", Severity.WARNING, member, None)
    assert not problems.stands_apart("disk.filling", Severity.CRITICAL, member, None)
    assert problems.stands_apart("disk.filling", Severity.WARNING, a_case(), a_problem())
    assert not problems.stands_apart("disk.filling", Severity.WARNING, member, a_problem())


def test_a_closed_problem_can_not_be_changed() -> None:
    closed, _ = problems.closed(a_problem(), "all done", NOON)
    with pytest.raises(Refused, match="Problem 1 is closed"):
        problems.taken(closed, "alice")
    with pytest.raises(Refused, match="Problem 1 is closed"):
        problems.announced(closed, "alice", "text", NOON)
    with pytest.raises(Refused, match="Problem 1 is closed"):
        problems.closed(closed, "again", NOON)


@given(
    st.lists(
        st.builds(
            a_member,
            st.integers(1, 99),
            fault=st.sampled_from(["disk.filling", "fd.leak"]),
            after_s=st.sampled_from([-4000, -3600, -10, 0]),
            firmware=st.sampled_from(["", "fw-8", "fw-9"]),
            site=st.sampled_from(["", "Harbour"]),
        ),
        max_size=20,
    ),
    st.randoms(),
)
def test_the_order_of_the_cases_decides_nothing(members: list[Member], chance: Random) -> None:
    group = problems.find_group(a_member(), members, RULES)
    shuffled = members.copy()
    chance.shuffle(shuffled)
    again = problems.find_group(a_member(), shuffled, RULES)
    assert (group is None) == (again is None)
    if group and again:
        assert group[0] is again[0]
        assert set(group[1]) == set(again[1])
