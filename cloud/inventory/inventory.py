"""Changes of the inventory. Each is one transaction of the caller: all of it or nothing.

What flows in: a session, an entry, who changes it and when. What flows out: rows; StaleError when somebody else has
changed the same row since it was read. Sites and customers that a device names are created with it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.inventory.fields import CustomerEntry, DeviceEntry, SiteEntry
from cloud.store.inventory_tables import CustomerRow, SiteRow
from cloud.store.streams import NOT_SEEN
from cloud.store.tables import Device

ASKED_AT_ONCE = 1000


class StaleError(Exception):
    """Somebody else changed the row since it was shown."""


def columns_of(entry: DeviceEntry) -> dict[str, Any]:
    """Return an entry as the device's row keeps it; tags stand between spaces, so that LIKE finds a whole one."""
    return {
        "customer": entry.customer,
        "site": entry.site,
        "owner": entry.owner,
        "tags": f" {entry.tags} " if entry.tags else "",
        "consent": entry.consent.value,
        "note": entry.note,
    }


def entry_of(row: Device) -> dict[str, str]:
    """Return what staff recorded about a device, as they enter it."""
    texts = {name: getattr(row, name) for name in ("device", "customer", "site", "owner", "consent", "note")}
    return texts | {"tags": row.tags.strip()}


async def save_device(session: AsyncSession, entry: DeviceEntry, version: int, who: str, now: datetime) -> None:
    """Change what is recorded about a device. Raises LookupError, or StaleError if `version` is not the present one."""
    await add_places(session, [entry], who, now)
    changed = await session.execute(
        update(Device)
        .where(Device.device == entry.device, Device.inventory_version == version)
        .values(**columns_of(entry), inventory_version=version + 1)
    )
    await _check_one(session, changed, Device.device == entry.device, Device)


async def save_customer(session: AsyncSession, entry: CustomerEntry, version: int, who: str, now: datetime) -> None:
    """Create a customer (version 0) or change one."""
    values = {"contact": entry.contact, "note": entry.note, "changed_at": now, "changed_by": who}
    known = await session.get(CustomerRow, entry.name)
    _check_version(known, version)
    if known is None:
        session.add(CustomerRow(name=entry.name, version=1, **values))
        return
    changed = await session.execute(
        update(CustomerRow)
        .where(CustomerRow.name == entry.name, CustomerRow.version == version)
        .values(**values, version=version + 1)
    )
    await _check_one(session, changed, CustomerRow.name == entry.name, CustomerRow)


async def save_site(session: AsyncSession, entry: SiteEntry, version: int, who: str, now: datetime) -> None:
    """Create a site (version 0) or change one; its customer is created too if it is new."""
    values = {
        "address": entry.address, "zone": entry.zone, "note": entry.note, "changed_at": now, "changed_by": who,
    }  # fmt: skip
    known = await session.get(SiteRow, (entry.customer, entry.name))
    _check_version(known, version)
    if known is None:
        await add_places(session, [DeviceEntry(device="", customer=entry.customer)], who, now)
        session.add(SiteRow(customer=entry.customer, name=entry.name, version=1, **values))
        return
    this = (SiteRow.customer == entry.customer) & (SiteRow.name == entry.name)
    changed = await session.execute(
        update(SiteRow).where(this, SiteRow.version == version).values(**values, version=version + 1)
    )
    await _check_one(session, changed, this, SiteRow)


async def add_devices(session: AsyncSession, entries: Iterable[DeviceEntry], now: datetime) -> None:
    """Enter devices that have not reported yet."""
    for entry in entries:
        session.add(Device(device=entry.device, first_seen=now, last_seen=now, presence=NOT_SEEN, **columns_of(entry)))
    await session.flush()


async def add_places(session: AsyncSession, entries: Iterable[DeviceEntry], who: str, now: datetime) -> None:
    """Create the customers and sites of these entries that are not known yet."""
    places = {(entry.customer, entry.site) for entry in entries if entry.customer}
    customers = sorted({customer for customer, _ in places})
    known = set()
    for some in _pieces(customers):
        known |= set(await session.scalars(select(CustomerRow.name).where(CustomerRow.name.in_(some))))
    made = {"version": 1, "changed_at": now, "changed_by": who}
    session.add_all([CustomerRow(name=name, contact="", note="", **made) for name in customers if name not in known])
    await session.flush()
    sites = sorted(place for place in places if place[1])
    found = set()
    for some in _pieces(sites):
        key = tuple_(SiteRow.customer, SiteRow.name)
        rows = await session.execute(select(SiteRow.customer, SiteRow.name).where(key.in_(some)))
        found |= {(row[0], row[1]) for row in rows}
    session.add_all(
        [
            SiteRow(customer=customer, name=name, address="", zone="", note="", **made)
            for customer, name in sites
            if (customer, name) not in found
        ]
    )
    await session.flush()


def _pieces(items: list[Any]) -> list[list[Any]]:
    return [items[first : first + ASKED_AT_ONCE] for first in range(0, len(items), ASKED_AT_ONCE)]


def _check_version(known: CustomerRow | SiteRow | None, version: int) -> None:
    if (known.version if known else 0) != version:
        raise StaleError


async def _check_one(session: AsyncSession, changed: Any, this: ColumnElement[bool], table: type[Any]) -> None:
    assert isinstance(changed, CursorResult)
    if changed.rowcount == 1:
        return
    if await session.scalar(select(table).where(this)) is None:
        raise LookupError("There is no such row.")
    raise StaleError
