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
        'is:all severity:critical severity:high device:pump-07 owner:me fault:disk.filling "mill lane"', "alice"
    )
    assert wanted == CaseFilter(
        states=frozenset(CaseState),
        severities=frozenset({Severity.CRITICAL, Severity.HIGH}),
        devices=frozenset({"pump-07"}),
        owners=frozenset({"alice"}),
        faults=frozenset({"disk.filling"}),
        texts=("mill lane",),
    )


def test_nobody_is_an_owner_that_can_be_asked_for() -> None:
    assert read_filter("owner:nobody owner:bob", "alice").owners == {"", "bob"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "colour:red",
            "“colour:” is not a filter. Known are is:, severity:, device:, owner:, fault:, problem:, lane:, informed:",
        ),
        ("is:ready", "“is:ready” is not known. Write is:open, is:new, is:taken, is:closed, is:merged or is:all"),
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
