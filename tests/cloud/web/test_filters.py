import pytest

from cloud.store.queries import CaseFilter
from cloud.store.tables import CaseState
from cloud.web.filters import read_filter
from edge_agent.protocol.faults import Severity


def test_the_default_is_open_cases() -> None:
    assert read_filter("", "alice") == CaseFilter()
    assert read_filter("is:open", "alice") == CaseFilter()
    assert CaseState.CLOSED not in CaseFilter().states


def test_every_key_narrows_and_values_of_one_key_add_up() -> None:
    wanted = read_filter(
        "is:all severity:critical severity:high device:pump-07 owner:me fault:disk.filling model:P2 "
        'site:"Mill Lane" customer:north firmware:2026-10 "mill lane"',
        "alice",
    )
    assert wanted == CaseFilter(
        states=frozenset(CaseState),
        severities=frozenset({Severity.CRITICAL, Severity.HIGH}),
        devices=frozenset({"pump-07"}),
        owners=frozenset({"alice"}),
        faults=frozenset({"disk.filling"}),
        models=frozenset({"P2"}),
        sites=frozenset({"Mill Lane"}),
        customers=frozenset({"north"}),
        firmware=frozenset({"2026-10"}),
        texts=("mill lane",),
    )


def test_nobody_is_an_owner_that_can_be_asked_for() -> None:
    assert read_filter("owner:nobody owner:bob", "alice").owners == {"", "bob"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "colour:red",
            "“colour:” is not a filter. Known are is:, severity:, device:, model:, site:, customer:, firmware:, owner:,"
            " fault:, problem:, lane:, informed:",
        ),
        (
            "is:ready",
            "“is:ready” is not known. Write is:open, is:new, is:taken, is:snoozed, is:resolved, is:closed, is:merged"
            " or is:all",
        ),
        ("open -- now", "“--” has no letter or digit to search for. Take it out"),
        ("a b c d e f g h i", "The filter has 9 words to search for. Use at most 8"),
        ("x" * 401, "The filter has 401 characters. Use at most 400"),
        ("severity:", "“severity:” needs a value right after the colon"),
        (
            "severity:red",
            "“severity:red” is not known. Write severity:critical, severity:high, severity:warning or severity:info",
        ),
        ('"mill lane', "A quotation mark is open: close it, or take it out"),
    ],
)
def test_what_is_not_understood_is_answered_with_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="^" + sentence.replace("?", r"\?")) as refused:
        read_filter(text, "alice")
    assert str(refused.value) == sentence


@pytest.mark.parametrize("text", ["it's", "#7", "back\\slash", "100%", "  "])
def test_odd_characters_are_just_text(text: str) -> None:
    assert read_filter(text, "alice").texts == tuple(text.split())


@pytest.mark.parametrize("text", ["a:b:c", ":", "is"])
def test_a_colon_is_what_makes_a_key(text: str) -> None:
    if ":" not in text:
        assert read_filter(text, "alice").texts == (text,)
        return
    with pytest.raises(ValueError, match="is not a filter"):
        read_filter(text, "alice")
