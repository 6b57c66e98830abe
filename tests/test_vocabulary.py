"""The names of this project are the field's: a retired private word comes back neither as a name nor in a text."""

import ast

from tests import vocabulary


def test_no_retired_word_names_anything() -> None:
    assert vocabulary.uses() == {}


def test_no_retired_phrase_stands_in_a_text() -> None:
    assert vocabulary.phrases() == {}


def test_a_retired_word_is_found_in_every_kind_of_name() -> None:
    source = "class MemoryRefuge:\n    def _come_home(self, shelf): self.ledger = learnt = 1"
    found = {word for _, name in vocabulary.named(ast.parse(source)) for word in vocabulary.retired_in(name)}
    assert found == {"refuge", "come home", "shelf", "ledger", "learnt"}
    assert vocabulary.retired_in("threshold") == vocabulary.retired_in("essay") == []
