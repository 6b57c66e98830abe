"""Import and export of devices as CSV. Reading is pure; an import is one transaction: all of it or nothing.

What flows in: the text of a file. What flows out: what it would change, line by line, and what is wrong with it, by
line and column. An empty cell of a column that the file has empties the field; a column that it lacks changes nothing.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.inventory.fields import SHOWN, DeviceEntry, Invalid, read_device
from cloud.inventory.inventory import ASKED_AT_ONCE, add_devices, add_places, columns_of, entry_of
from cloud.store.tables import SYSTEM_DEVICE, Device

COLUMNS = ("device", "customer", "site", "owner", "tags", "consent", "note")
REPORTED = ("model", "firmware", "agent")  # exported for reading; the device reports them, so an import ignores them
LARGEST = 4 << 20  # bytes of a file
MOST_PROBLEMS = 100  # that are listed
_FORMULA = "=+-@\t\r"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file."""

    line: int  # the head is line 1
    column: str  # empty: the line as a whole
    text: str  # names value and remedy


@dataclass(frozen=True, slots=True)
class Change:
    """What a line would do."""

    line: int
    device: str
    is_new: bool
    fields: tuple[tuple[str, str, str], ...]  # name, before, after


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an import would do: nothing, if there is any problem."""

    lines: int
    problems: tuple[Problem, ...] = ()
    changes: tuple[Change, ...] = ()
    entries: tuple[DeviceEntry, ...] = ()  # of the changes, in the same order

    @property
    def new(self) -> int:
        """How many devices would be entered."""
        return sum(change.is_new for change in self.changes)

    @property
    def unchanged(self) -> int:
        """How many lines say what is recorded already."""
        return self.lines - len(self.changes)


async def plan(session: AsyncSession, content: bytes) -> Plan:
    """Return what a file would change."""
    rows, problems = read_rows(content)
    known: dict[str, Mapping[str, str]] = {}
    names = [cells.get("device", "") for _, cells in rows]
    for first in range(0, len(names), ASKED_AT_ONCE):
        some = select(Device).where(Device.device.in_(names[first : first + ASKED_AT_ONCE]))
        known |= {row.device: entry_of(row) for row in await session.scalars(some)}
    changes, entries = [], []
    for line, cells in rows:
        before = known.get(cells.get("device", ""), {})
        try:
            entry = read_device({**before, **cells})
        except Invalid as invalid:
            problems += [Problem(line, column, text) for column, text in invalid.problems.items()]
            continue
        if fields := _differences(before, entry):
            changes.append(Change(line, entry.device, not before, fields))
            entries.append(entry)
        elif not before:
            changes.append(Change(line, entry.device, True, ()))
            entries.append(entry)
    problems.sort(key=lambda problem: problem.line)
    return Plan(lines=len(rows), problems=tuple(problems), changes=tuple(changes), entries=tuple(entries))


async def apply(session: AsyncSession, wanted: Plan, who: str, now: datetime) -> None:
    """Make the changes of a plan without problems."""
    assert not wanted.problems
    pairs = list(zip(wanted.changes, wanted.entries, strict=True))
    await add_places(session, wanted.entries, who, now)
    await add_devices(session, [entry for change, entry in pairs if change.is_new], now)
    rows = [columns_of(entry) | {"of": entry.device} for change, entry in pairs if not change.is_new]
    if rows:
        table: Any = Device.__table__
        values: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "of"}
        statement = update(table).where(table.c.device == bindparam("of"))
        connection = await session.connection()
        await connection.execute(statement.values(**values, inventory_version=table.c.inventory_version + 1), rows)


def digest(content: bytes, wanted: Plan) -> str:
    """Return what stands for a file and for all that it would change."""
    hashed = hashlib.sha256(content)
    hashed.update(repr([(change.device, change.is_new, change.fields) for change in wanted.changes]).encode())
    return hashed.hexdigest()


def read_rows(content: bytes) -> tuple[list[tuple[int, dict[str, str]]], list[Problem]]:
    """Return the lines of a file as cells by column, and what is wrong with its form."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return [], [Problem(line, "", "The file is not UTF-8. Save it as “CSV UTF-8” and try again.")]
    if "\0" in text:
        return [], [Problem(text[: text.index("\0")].count("\n") + 1, "", "The file has a NUL byte. Save it as CSV.")]
    head = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if head.count(";") > head.count(",") else ",")
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if problems := _of_head(names):
            return [], problems
        return _body(reader, names)
    except csv.Error as error:
        return [], [Problem(reader.line_num, "", f"The line cannot be read as CSV: {error}. Check its quotes.")]


def _body(reader: Any, names: Sequence[str]) -> tuple[list[tuple[int, dict[str, str]]], list[Problem]]:
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    line = reader.line_num + 1
    for row in reader:
        start, line = line, reader.line_num + 1
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            problems.append(Problem(start, "", f"The line has {len(row)} columns, the first line {len(names)}."))
            continue
        cells = {name: _plain(cell) for name, cell in zip(names, row, strict=True) if name in COLUMNS}
        device = cells["device"]
        if device in seen:
            text = f"Device “{device[:SHOWN]}” is in line {seen[device]} already. Remove one of the two lines."
            problems.append(Problem(start, "device", text))
            continue
        seen[device] = start
        rows.append((start, cells))
    return rows, problems


def _of_head(names: Sequence[str]) -> list[Problem]:
    known = f"Known columns: {', '.join(COLUMNS)}."
    if "device" not in names:
        return [Problem(1, "device", f"The first line must name the columns, and there is none named device. {known}")]
    twice = {name for name in names if names.count(name) > 1}
    problems = [Problem(1, name, f"Column “{name[:SHOWN]}” is there twice. Remove one.") for name in sorted(twice)]
    problems += [
        Problem(1, name, f"Column “{name[:SHOWN]}” is not known. Remove or rename it. {known}")
        for name in names
        if name not in COLUMNS + REPORTED
    ]
    return problems


def write(rows: Iterable[Device]) -> str:
    """Return devices as CSV that can be imported again; a text that a spreadsheet would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow((*COLUMNS, *REPORTED))
    for row in rows:
        if row.device != SYSTEM_DEVICE:
            cells = (*(entry_of(row)[name] for name in COLUMNS), row.hardware, row.firmware, row.agent)
            writer.writerow([_harmless(cell) for cell in cells])
    return out.getvalue()


def _harmless(text: str) -> str:
    return f"'{text}" if text[:1] and text[:1] in _FORMULA else text


def _plain(cell: str) -> str:
    """Undo what `_harmless` did."""
    text = cell.strip()
    return text[1:] if text[:1] == "'" and text[1:2] and text[1:2] in _FORMULA else text


def _differences(before: Mapping[str, str], entry: DeviceEntry) -> tuple[tuple[str, str, str], ...]:
    after = {name: str(getattr(entry, name)) for name in COLUMNS if name != "device"}
    default = {"consent": "unknown"}
    pairs = ((name, before.get(name, default.get(name, "")), value) for name, value in after.items())
    return tuple((name, old, new) for name, old, new in pairs if old != new)
