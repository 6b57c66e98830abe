"""The full-text index: FTS5 on SQLite, tsvector with GIN on PostgreSQL, behind one condition for queries.

What flows in: changes of cases, their timelines and devices, by triggers; and the words that somebody looks for. What
flows out: conditions of SQL. Words are runs of letters and digits; the last one of a phrase fits any longer word.
"""

import re
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Text, cast, false, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from cloud.store.search_tables import SearchText
from cloud.store.tables import SupportCase

NAME = "search_index"  # of the index and of all that SQLite keeps for it
LONGEST_WORD = 64
_NUMBER = re.compile(r"#(\d{1,15})")
_NOTES = "'note', 'handed_over', 'contacted', 'closed', 'reopened', 'snoozed'"  # what people write into a timeline
_DEVICE = "{0}.device || ' ' || {0}.customer || ' ' || {0}.site || ' ' || {0}.hardware"
_WORDS = "to_tsvector('simple', regexp_replace(search_text.text, '[^[:alnum:]]+', ' ', 'g'))"


def tokens(text: str) -> str:
    """Return the words of a text, separated by spaces; empty if it has no letter and no digit."""
    return " ".join(re.findall(r"[^\W_]+", text.lower())[:20])


class TextMatches(FunctionElement[bool]):
    """Whether the text of a row of `search_text` contains a phrase, whose end may be the beginning of a word."""

    type = Boolean()
    inherit_cache = True
    name = "text_matches"


@compiles(TextMatches, "sqlite")
def _on_sqlite(element: TextMatches, compiler: SQLCompiler, **options: Any) -> str:
    phrase = compiler.process(element.clauses, **options)
    return f"search_text.id IN (SELECT rowid FROM {NAME} WHERE {NAME} MATCH '\"' || {phrase} || '\" *')"  # noqa: S608  a bound parameter


@compiles(TextMatches, "postgresql")
def _on_postgresql(element: TextMatches, compiler: SQLCompiler, **options: Any) -> str:
    phrase = compiler.process(element.clauses, **options)
    return f"{_WORDS} @@ to_tsquery('simple', replace({phrase}, ' ', ' <-> ') || ':*')"


def case_contains(text: str) -> ColumnElement[bool]:
    """Select the cases that contain a word or phrase: in title, fault, notes, or in what is known of the device.

    ``#7`` is the case with this number.
    """
    if number := _NUMBER.fullmatch(text):
        return SupportCase.number == int(number[1])
    phrase = tokens(text[: 4 * LONGEST_WORD])
    if not phrase:
        return false()
    matches = TextMatches(cast(literal(phrase), Text))
    cases = select(SearchText.case_number).where(matches, SearchText.case_number.is_not(None))
    devices = select(SearchText.device).where(matches, SearchText.device.is_not(None))
    return or_(SupportCase.number.in_(cases), SupportCase.device.in_(devices))


FILL = (
    "INSERT INTO search_text (case_number, text) SELECT number, title || ' ' || fault FROM support_case",
    f"INSERT INTO search_text (case_number, text) SELECT case_number, text FROM case_entry WHERE kind IN ({_NOTES})",  # noqa: S608  constants
    f"INSERT INTO search_text (device, text) SELECT device, {_DEVICE.format('device')} FROM device",  # noqa: S608  constants
)


def install(connection: Connection) -> None:
    """Create what the tables need for searching, where it is missing: the index, and the triggers that fill it.

    It runs at every start: a migration that copies a table on SQLite loses the table's triggers.
    """
    statements = _sqlite() if connection.dialect.name == "sqlite" else _postgresql()
    is_new = (
        connection.dialect.name == "sqlite"
        and not connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = ?", (NAME,)).scalar()
    )
    for statement in statements:
        connection.exec_driver_sql(statement)
    if is_new:
        connection.exec_driver_sql(f"INSERT INTO {NAME} ({NAME}) VALUES ('rebuild')")  # noqa: S608  a constant


def _actions(new: str, old: str) -> dict[str, tuple[str, str]]:
    """Return each trigger: when it fires, and what it does."""
    device_text = _DEVICE.format(new)
    return {
        "search_case_new": (
            "AFTER INSERT ON support_case",
            f"INSERT INTO search_text (case_number, text) VALUES ({new}.number, {new}.title || ' ' || {new}.fault);",  # noqa: S608  constants
        ),
        "search_note_new": (
            f"AFTER INSERT ON case_entry FOR EACH ROW WHEN ({new}.kind IN ({_NOTES}))",
            f"INSERT INTO search_text (case_number, text) VALUES ({new}.case_number, {new}.text);",  # noqa: S608  constants
        ),
        "search_device_new": (
            "AFTER INSERT ON device",
            f"INSERT INTO search_text (device, text) VALUES ({new}.device, {device_text});",  # noqa: S608  constants
        ),
        "search_device_changed": (
            "AFTER UPDATE OF customer, site, hardware ON device",
            f"UPDATE search_text SET text = {device_text} WHERE device = {new}.device AND text <> {device_text};",  # noqa: S608  constants
        ),
        "search_device_gone": ("AFTER DELETE ON device", f"DELETE FROM search_text WHERE device = {old}.device;"),  # noqa: S608  constants
    }


def _sqlite() -> list[str]:
    remove = f"INSERT INTO {NAME} ({NAME}, rowid, text) VALUES ('delete', old.id, old.text);"  # noqa: S608  a constant
    add = f"INSERT INTO {NAME} (rowid, text) VALUES (new.id, new.text);"  # noqa: S608  a constant
    triggers = _actions("new", "old") | {
        "search_text_new": ("AFTER INSERT ON search_text", add),
        "search_text_changed": ("AFTER UPDATE ON search_text", remove + add),
        "search_text_gone": ("AFTER DELETE ON search_text", remove),
    }
    table = (
        f"CREATE VIRTUAL TABLE IF NOT EXISTS {NAME} USING fts5(text, content='search_text', content_rowid='id',"
        " prefix='2 3', tokenize='unicode61 remove_diacritics 0')"
    )
    return [
        table,
        *(f"CREATE TRIGGER IF NOT EXISTS {name} {when} BEGIN {do} END" for name, (when, do) in triggers.items()),
    ]


def _postgresql() -> list[str]:
    statements = [f"CREATE INDEX IF NOT EXISTS {NAME} ON search_text USING gin (({_WORDS}))"]
    for name, (when, do) in _actions("NEW", "OLD").items():
        event, condition = [*when.split(" FOR EACH ROW "), ""][:2]
        statements += [
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {do} RETURN NULL; END $$",
            f"CREATE OR REPLACE TRIGGER {name} {event} FOR EACH ROW {condition} EXECUTE FUNCTION {name}()",
        ]
    return statements


def is_of_index(name: str | None) -> bool:
    """Whether a table or index of the database belongs to the full-text index, which no model describes."""
    return (name or "").startswith(NAME)
