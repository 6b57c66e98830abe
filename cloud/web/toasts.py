"""The toast after a change: what was done, and the token that undoes it.

What flows in: the address that a change leads to. What flows out: a sentence of ours, or nothing: an address can not
put other words into the page.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from cloud.store.tables import Label
from cloud.web import formatting

_ONE = {
    "take": "Case {number} is assigned to you.",
    "assign": "Case {number} is assigned.",
    "release": "Case {number} is unassigned.",
    "close": "Case {number} is closed as “{label}”.",
    "reopen": "Case {number} is reopened.",
    "note": "Your note was added to case {number}.",
    "contact": "Case {number}: the customer knows. The customer clock runs.",
    "hand_over": "Case {number} is handed over.",
    "snooze": "Case {number} is snoozed.",
    "wake": "The snooze of case {number} is ended.",
    "merge": "Case {number} is merged.",
    "unmerge": "The merge of case {number} is taken back.",
    "unlink": "Case {number} has left its problem.",
    "undo": "Undone: case {number} is as before.",
}
_MANY = {
    "take": "{count} cases are assigned to you.",
    "assign": "{count} cases are assigned.",
    "close": "{count} cases are closed as “{label}”.",
    "snooze": "{count} cases are snoozed.",
    "merge": "{count} cases are merged.",
    "undo": "Undone: {count} cases are as before.",
}
_OTHER = {"view": "The view is saved.", "view_gone": "The view is deleted."}
_TOKEN = re.compile(r"[\w-]{22}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toast:
    """What was just done, and the token of the change that undoes it."""

    text: str
    undo: str = ""  # empty when there is nothing to undo


@dataclass(frozen=True, slots=True)
class Done:
    """The part of an address that says what was just done."""

    done: Annotated[str, Query(max_length=20)] = ""
    case: Annotated[int, Query(ge=0, lt=1 << 53)] = 0
    count: Annotated[int, Query(ge=1, le=1000)] = 1
    label: Annotated[str, Query(max_length=20)] = ""
    undo: Annotated[str, Query(max_length=40)] = ""

    def toast(self, number: int = 0) -> Toast | None:
        """Say what a change did; None for words that are not ours."""
        known = self.label if self.label in set(Label) else ""
        if self.done == "close" and not known:
            return None
        texts = _OTHER | (_MANY if self.count > 1 else _ONE)
        if self.done not in texts:
            return None
        label = formatting.LABELS[Label(known)][0] if known else ""
        text = texts[self.done].format(number=number or self.case, count=self.count, label=label)
        return Toast(text=text, undo=self.undo if _TOKEN.fullmatch(self.undo) else "")
