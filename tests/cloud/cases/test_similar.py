"""A similar case has the same fault; what else it has in common puts it first."""

from typing import Any

from cloud.cases.similar import Precedent, similar


def a_case(number: int = 1, **given: Any) -> Precedent:
    known: dict[str, Any] = {"device": f"pump-{number}", "faults": frozenset({("disk.filling", "/data")})}
    return Precedent(number=number, **(known | given))


def test_the_case_with_most_in_common_comes_first_with_what_that_is() -> None:
    case = a_case(model="Pi 5", firmware="fw-3", site="Dock B")
    others = [
        a_case(2, model="Pi 5", faults=frozenset({("disk.filling", "/")})),
        a_case(3, model="Pi 5", firmware="fw-3"),
        a_case(4, device="pump-1", site="Dock B", model="Pi 5", firmware="fw-3"),
    ]
    found = similar(case, others)
    assert [match.case.number for match in found] == [4, 3, 2]
    assert found[0].common == ("fault", "device", "component", "model", "firmware", "site")
    assert found[2].common == ("fault", "model")


def test_among_equals_the_latest_comes_first_and_the_list_is_short() -> None:
    found = similar(a_case(), [a_case(number) for number in range(2, 20)])
    assert [match.case.number for match in found] == [19, 18, 17, 16, 15]


def test_a_case_with_another_fault_is_no_precedent_and_neither_is_the_case_itself() -> None:
    assert (
        similar(a_case(site="Dock B"), [a_case(2, site="Dock B", faults=frozenset({("memory.leak", "memory")}))]) == ()
    )
    assert similar(a_case(), [a_case()]) == ()


def test_what_is_not_known_of_both_is_not_in_common() -> None:
    assert similar(a_case(), [a_case(2, faults=frozenset({("disk.filling", "/")}))])[0].common == ("fault",)
