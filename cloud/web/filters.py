"""Filters as text: ``is:open severity:critical model:P2 site:"Mill Lane" owner:me leak``.

What flows in: the text and who asks. What flows out: a CaseFilter for the store, or ValueError with a sentence for
the person who wrote it. Within one key any value fits; different keys must all fit; other words are looked for in
the case's title, fault and notes, and in its device's name, customer, site and model. ``#7`` is a case's number.
"""

import shlex

from cloud.cases.lanes import Lane
from cloud.store.queries import CaseFilter
from cloud.store.search_index import tokens
from cloud.store.tables import CaseState
from edge_agent.protocol.faults import FAULTS, Severity

DEFAULT = "is:open"
LONGEST_NUMBER = 15  # digits; a longer one fits no column

_OPEN = frozenset({CaseState.NEW, CaseState.OPEN, CaseState.PENDING_REMINDER, CaseState.PENDING_CLOSE})
_IS = {
    "open": _OPEN,
    "new": frozenset({CaseState.NEW}),
    "taken": _OPEN - {CaseState.NEW},
    "snoozed": frozenset({CaseState.PENDING_REMINDER}),
    "resolved": frozenset({CaseState.PENDING_CLOSE}),
    "closed": frozenset({CaseState.CLOSED}),
    "merged": frozenset({CaseState.MERGED}),
    "all": frozenset(CaseState),
}
KEYS = (
    "is", "severity", "device", "model", "site", "customer", "firmware", "owner", "fault", "problem", "lane",
    "informed",
)  # fmt: skip
LONGEST = 400  # characters of a filter
MOST_TEXTS = 8  # each word is one search


def read_filter(text: str, me: str) -> CaseFilter:
    """Read a filter that `me` has written. Raises ValueError with a sentence that says what to write instead."""
    values, texts = _split(text)
    states = frozenset().union(*(_one_of(_IS, "is", value) for value in values["is"])) or _OPEN
    return CaseFilter(
        states=states,
        severities=frozenset(_severity(value) for value in values["severity"]),
        devices=frozenset(values["device"]),
        models=frozenset(values["model"]),
        customers=frozenset(values["customer"]),
        sites=frozenset(values["site"]),
        firmware=frozenset(values["firmware"]),
        owners=frozenset({"me": me, "nobody": ""}.get(value, value) for value in values["owner"]),
        faults=frozenset(_fault(value) for value in values["fault"]),
        problems=frozenset(_number("problem", value) for value in values["problem"]),
        lanes=frozenset(_lane(value) for value in values["lane"]),
        informed=frozenset({"me": me}.get(value, value) for value in values["informed"]),
        texts=tuple(texts),
    )


def _split(text: str) -> tuple[dict[str, set[str]], list[str]]:
    """Return the values of each key, and the other words."""
    if len(text) > LONGEST:
        raise ValueError(f"The filter has {len(text)} characters. Use at most {LONGEST}")
    values: dict[str, set[str]] = {key: set() for key in KEYS}
    texts: list[str] = []
    for word in _words(text):
        key, colon, value = word.partition(":")
        if not colon:
            texts.append(_text(word))
        elif key not in values:
            raise ValueError(f"“{key[:40]}:” is not a filter. Known are {', '.join(f'{known}:' for known in KEYS)}")
        elif not value:
            raise ValueError(f"“{key}:” needs a value right after the colon")
        else:
            values[key].add(value)
    if len(texts) > MOST_TEXTS:
        raise ValueError(f"The filter has {len(texts)} words to search for. Use at most {MOST_TEXTS}")
    return values, texts


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.quotes, lexer.escape = True, "", '"', ""
    try:
        return list(lexer)
    except ValueError:
        raise ValueError("A quotation mark is open: close it, or take it out") from None


def _text(word: str) -> str:
    if not tokens(word):
        raise ValueError(f"“{word}” has no letter or digit to search for. Take it out")
    return word


def _one_of(known: dict[str, frozenset[CaseState]], key: str, value: str) -> frozenset[CaseState]:
    if value not in known:
        raise ValueError(f"“{key}:{value}” is not known. Write {_either(key, list(known))}")
    return known[value]


def _severity(value: str) -> Severity:
    if value not in set(Severity):
        raise ValueError(f"“severity:{value}” is not known. Write {_either('severity', list(Severity))}")
    return Severity(value)


def _lane(value: str) -> Lane:
    if value not in set(Lane):
        raise ValueError(f"“lane:{value}” is not known. Write {_either('lane', list(Lane))}")
    return Lane(value)


def _number(key: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > LONGEST_NUMBER:
        raise ValueError(f"“{key}:{value}” is no number. Write for instance {key}:1")
    return int(value)


def _fault(value: str) -> str:
    if value not in FAULTS:
        raise ValueError(f"“fault:{value}” is not in the fault catalogue. Write {_either('fault', list(FAULTS))}")
    return value


def _either(key: str, values: list[str]) -> str:
    return ", ".join(f"{key}:{value}" for value in values[:-1]) + f" or {key}:{values[-1]}"
