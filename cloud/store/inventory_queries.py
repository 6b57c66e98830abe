"""The reads of customers and sites. Each function sends a fixed number of statements."""

from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from cloud.store.device_queries import OPEN_STATES
from cloud.store.inventory_tables import CustomerRow, SiteRow
from cloud.store.tables import Device, SupportCase


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerLine:
    """A customer as a list shows it."""

    row: CustomerRow
    sites: int
    devices: int
    open_cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLine:
    """A site as a list shows it."""

    row: SiteRow
    devices: int
    open_cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerPage:
    """One page of customers."""

    lines: tuple[CustomerLine, ...]
    total: int


async def customers(session: AsyncSession, text: str, *, page: int, size: int) -> CustomerPage:
    """Customers by name; `text` occurs in name, contact or note."""
    fits = [
        CustomerRow.name.icontains(text, autoescape=True)
        | CustomerRow.contact.icontains(text, autoescape=True)
        | CustomerRow.note.icontains(text, autoescape=True)
    ]
    query = select(CustomerRow).where(*fits).order_by(CustomerRow.name).limit(size).offset((page - 1) * size)
    rows = (await session.scalars(query)).all()
    names = [row.name for row in rows]
    sites = await _counts(session, select(SiteRow.customer, func.count()), SiteRow.customer, names)
    devices = await _counts(session, select(Device.customer, func.count()), Device.customer, names)
    open_cases = await _counts(session, _open_cases(Device.customer), Device.customer, names)
    lines = tuple(
        CustomerLine(
            row=row,
            sites=sites.get(row.name, 0),
            devices=devices.get(row.name, 0),
            open_cases=open_cases.get(row.name, 0),
        )
        for row in rows
    )
    total = await session.scalar(select(func.count()).select_from(CustomerRow).where(*fits)) or 0
    return CustomerPage(lines=lines, total=total)


async def names(session: AsyncSession, most: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of customers and of sites, to choose from."""
    known = select(CustomerRow.name).order_by(CustomerRow.name).limit(most)
    places = select(SiteRow.name).distinct().order_by(SiteRow.name).limit(most)
    return tuple(await session.scalars(known)), tuple(await session.scalars(places))


async def sites(session: AsyncSession, customer: str, most: int) -> tuple[SiteLine, ...]:
    """The sites of a customer, by name."""
    query = select(SiteRow).where(SiteRow.customer == customer).order_by(SiteRow.name).limit(most)
    rows = (await session.scalars(query)).all()
    names = [row.name for row in rows]
    of = Device.customer == customer
    devices = await _counts(session, select(Device.site, func.count()).where(of), Device.site, names)
    open_cases = await _counts(session, _open_cases(Device.site).where(of), Device.site, names)
    return tuple(
        SiteLine(row=row, devices=devices.get(row.name, 0), open_cases=open_cases.get(row.name, 0)) for row in rows
    )


def _open_cases(column: InstrumentedAttribute[str]) -> "Select[str, int]":
    return (
        select(column, func.count())
        .join(SupportCase, SupportCase.device == Device.device)
        .where(SupportCase.state.in_(OPEN_STATES))
    )


async def _counts(
    session: AsyncSession, query: "Select[str, int]", column: InstrumentedAttribute[str], names: list[str]
) -> dict[str, int]:
    found = await session.execute(query.where(column.in_(names)).group_by(column))
    return {row[0]: row[1] for row in found}
