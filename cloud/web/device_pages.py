"""The device list and the page of a device. Server-rendered; readable without JavaScript."""

import asyncio
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from pydantic import BaseModel, Field

from cloud.cases.device_health import days_of
from cloud.inventory import Consent
from cloud.store import delivery_queries, device_queries, queries
from cloud.web import formatting, health_strip, telemetry_chart
from cloud.web.auth import page_visitor
from cloud.web.pages import InPage, PageContext

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
PAGE_SIZE = 50
MOST_CHOICES = 200  # in the list of a filter
MOST_LINES = 30  # in each section of a device's page
MOST_BATCHES = 1500
RANGES = {"6h": ("6 hours", 6), "24h": ("24 hours", 24), "7d": ("7 days", 168), "30d": ("30 days", 720)}
LONGEST = timedelta(days=92)
STATES = {
    "cases": "with open cases",
    "online": "online",
    "offline": "offline",
    "going_down": "going down",
    "expected": "not reported yet",
}


class ListQuery(BaseModel):
    """The address of the device list: its filters and its page."""

    q: str = Field(default="", max_length=200)
    model: str = Field(default="", max_length=128)
    firmware: str = Field(default="", max_length=128)
    customer: str = Field(default="", max_length=200)
    site: str = Field(default="", max_length=200)
    tag: str = Field(default="", max_length=40)
    state: str = Field(default="", max_length=16)
    page: int = Field(default=1, ge=1, le=100_000)

    def wanted(self) -> device_queries.DeviceFilter:
        """Return the filter; a state that there is not is none."""
        given = self.model_dump(exclude={"page", "q"})
        wanted = device_queries.DeviceFilter(text=self.q, **given)
        return wanted if self.state in STATES else replace(wanted, state="")

    def address(self, **changed: Any) -> str:
        """Return the address of the list with something changed."""
        values: dict[str, Any] = {**self.model_dump(), **changed}
        query = {name: value for name, value in values.items() if value and (name, value) != ("page", 1)}
        return "/devices" + (f"?{urlencode(query)}" if query else "")


@router.get("/devices")
async def devices(context: InPage, query: Annotated[ListQuery, Query()]) -> Response:
    """What is being watched, and is it there?"""
    wanted = query.wanted()
    async with context.console.database.read() as session:
        found = await device_queries.device_page(session, wanted, page=query.page, size=PAGE_SIZE)
        values: dict[str, Any] = {
            "feed": await queries.last_entry_id(session),
            "fleet_status": await queries.fleet_status(session),
            "choices": await device_queries.choices(session, MOST_CHOICES),
        }
    pages = max(1, -(-found.total // PAGE_SIZE))
    filtered = any(asdict(wanted).values())
    return context.page(
        "devices.html", active="devices", found=found, query=query, pages=pages, size=PAGE_SIZE, filtered=filtered,
        states=STATES, **values,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a chart shows; `error` says what is wrong with what was entered."""

    begin: datetime
    end: datetime
    name: str  # of RANGES, or empty
    error: str = ""


class ChartQuery(BaseModel):
    """The address of a device's page: which series, and which time (`begin` and `end` in UTC)."""

    metric: str = Field(default="", max_length=400)
    range: str = Field(default="", max_length=8)
    begin: str = Field(default="", max_length=40)
    end: str = Field(default="", max_length=40)
    saved: bool = False

    def period(self, newest: datetime) -> Period:
        """Return the period: as entered, else the chosen range up to the newest telemetry."""
        name = self.range if self.range in RANGES else "24h"
        usual = Period(newest - timedelta(hours=RANGES[name][1]), newest, name)
        if not (self.begin or self.end) or self.range in RANGES:
            return usual
        try:
            begin, end = _utc(self.begin), _utc(self.end)
        except ValueError as error:
            return replace(usual, error=str(error))
        if not timedelta() < end - begin <= LONGEST:
            problem = f"From {self.begin} to {self.end} is not possible. The end must be later, by at most 92 days."
            return replace(usual, error=problem)
        return Period(begin, end, "")


def _utc(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"“{text}” is no time. Write for instance 2026-11-03T08:30, in UTC.") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


@router.get("/devices/{name}")
async def device(context: InPage, name: str, query: Annotated[ChartQuery, Query()]) -> Response:
    """How is it, and since when?"""
    now = context.console.now()
    since = now - timedelta(days=health_strip.DAYS)
    async with context.console.database.read() as session:
        file = await device_queries.device_file(session, name[:64], since, MOST_LINES)
        if file is None:
            raise HTTPException(404, f"There is no device {name[:64]}.")
        feed = await queries.last_entry_id(session)
        letters = await delivery_queries.dead_letters(session, MOST_LINES, device=file.device.device)
        newest = await device_queries.last_telemetry(session, file.device.device)
    days = days_of(file.spans, file.device.first_seen, now, health_strip.DAYS)
    return context.page(
        "device.html",
        active="devices",
        feed=feed,
        file=file,
        strip=health_strip.strip_of(days),
        short_strip=health_strip.strip_of(days[-health_strip.DAYS_ON_PHONES :]),
        letters=letters,
        telemetry=await _telemetry(context, file.device.device, newest, query),
        connections=list(_connections(file, now)),
        consents=CONSENTS,
        saved=query.saved,
        fault_words=health_strip.fault_words,
        in_words=health_strip.in_words,
        address=f"/devices/{quote(file.device.device, safe='')}",
    )


CONSENTS = {
    Consent.UNKNOWN: "Not asked yet",
    Consent.NONE: "None: the device should not report",
    Consent.FINDINGS: "Findings with their evidence",
    Consent.TELEMETRY: "Findings and telemetry",
    Consent.TRAINING: "Findings, telemetry, and their use to train detectors",
}


async def _telemetry(
    context: PageContext, name: str, newest: tuple[datetime, bytes] | None, query: ChartQuery
) -> dict[str, Any] | None:
    """Return what the chart section shows; None if the device has sent no telemetry that is still kept."""
    if newest is None:
        return None
    names = await asyncio.to_thread(telemetry_chart.series_in, newest[1])
    series = query.metric or (names[0] if names else "")
    async with context.console.database.read() as session:
        last = max(newest[0], min(context.console.now(), newest[0] + timedelta(hours=1)))
        period = query.period(last)
        chunks = await device_queries.telemetry(session, name, period.begin, period.end, MOST_BATCHES)
    # unpacking hundreds of batches takes a while, and other readers shall not wait for it
    ends = (period.begin.timestamp(), period.end.timestamp())
    chart = await asyncio.to_thread(telemetry_chart.chart_of, series, chunks, *ends)
    return {
        "names": sorted({*names, series}, key=lambda one: (one not in names, names.index(one) if one in names else 0)),
        "series": series,
        "period": period,
        "ranges": RANGES,
        "chart": chart,
        "cut": len(chunks) >= MOST_BATCHES,
    }


def _connections(file: device_queries.DeviceFile, now: datetime) -> Any:
    """Yield each state of the connection with its begin and how long it lasted, the newest first."""
    until = now
    for event in file.connections:
        state = formatting.PRESENCE.get(event.after, event.after)
        yield event.after, state, event.at, formatting.duration((until - event.at).total_seconds())
        until = event.at
