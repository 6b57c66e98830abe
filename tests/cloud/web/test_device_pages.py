"""The device list, a device's page, the fleet overview, dead letters and calendars."""

from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from cloud.case_service import CaseService
from cloud.cases.calendars import CalendarTable
from cloud.change_signal import ChangeSignal
from cloud.store.database import Database
from cloud.store.outcome_tables import DeviceEvent
from cloud.store.streams import add_dead_letters
from cloud.store.tables import Device, TelemetryChunk
from cloud.web.app import create_app
from cloud.web.service_times import ServiceTimes
from tests.builders import an_id
from tests.cloud.web import seed
from tests.cloud.web.conftest import NOW, ORIGIN, PASSWORD
from tests.cloud.web.test_pages import HOSTILE, read, words_of
from tests.cloud.web.test_telemetry_chart import HEAT, a_batch


async def names_at(client: httpx.AsyncClient, path: str) -> list[str]:
    page = await read(client, path)
    return [part.split('"')[0] for part in page.split('<th scope="row"><a href="/devices/')[1:]]


async def test_the_list_has_pages_and_those_with_open_cases_come_first(
    alice: httpx.AsyncClient, numbers: dict[str, int], staffed: Database
) -> None:
    async with staffed.begin() as session:
        session.add_all([seed.device(f"meter-{n:03}", NOW) for n in range(60)])
    first = await read(alice, "/devices")
    assert "1 to 50 of 67 devices" in words_of(first)
    names = await names_at(alice, "/devices")
    assert names[:2] == ["gateway-03", "kiln-02"]
    second = await names_at(alice, "/devices?page=2")
    assert len(names) == 50
    assert len({*names, *second}) == 67
    assert len(first.encode()) < 100_000
    await read(alice, "/devices?page=0", status=422)


async def test_filters_of_the_list_combine(
    alice: httpx.AsyncClient, numbers: dict[str, int], staffed: Database
) -> None:
    async with staffed.begin() as session:
        session.add(seed.device("pump-90", NOW, tags=" cold ", presence="expected"))
    expected = {
        "?q=northfield": ["pump-07", "pump-11"],
        "?q=northfield+harbour": ["pump-11"],
        "?model=Raspberry+Pi+5": ["gateway-03"],
        "?firmware=2026-08&state=cases": ["press-12"],
        "?state=offline": ["pump-02"],
        "?tag=cold": ["pump-90"],
        "?state=expected": ["pump-90"],
        "?q=100%25": [],
    }
    for query, names in expected.items():
        assert await names_at(alice, f"/devices{query}") == names, query
    assert "No device fits" in await read(alice, "/devices?q=nobody")


async def test_the_page_of_a_device_says_how_it_is_and_since_when(
    alice: httpx.AsyncClient, numbers: dict[str, int], staffed: Database
) -> None:
    async with staffed.begin() as session:
        for kind, before, after in (("connection", "online", "offline"), ("firmware", "2026-09", "2026-10")):
            session.add(
                DeviceEvent(device="pump-07", at=NOW - timedelta(hours=2), kind=kind, before=before, after=after)
            )
        letter = {"topic": "forewarn/v1/pump-07/findings", "device": "pump-07", "cause": "not JSON", "payload": b"{"}
        await add_dead_letters(session, [letter | {"received_at": NOW}], 10)
        body = a_batch([40.0, 50.0, 45.0], "mean", "min", "max")
        chunk = {"device": "pump-07", "stream": an_id(1), "seq": 1, "body": body}
        session.add(TelemetryChunk(**chunk, start_at=NOW - timedelta(hours=1), received_at=NOW))
    page = await read(alice, "/devices/pump-07")
    text = words_of(page)
    assert "Of 41 days: high on 1 day, nothing open on 40 days." in text
    assert "High File system / of pump-07 is filling up" in text
    assert "Firmware 2026-09 → 2026-10 2 h ago" in text
    assert "Offline since 2 h ago" in text
    assert "not JSON" in text
    assert "Temperature (cpu): 40 to 50 °C" in text
    assert '<svg class="drawn-chart large"' in page
    assert "1 Jul: high, File system is filling up (/)" in page
    assert len(page.encode()) < 100_000
    assert "Northfield Water" in text
    await read(alice, "/devices/nobody", status=404)
    await read(alice, "/devices/@cloud", status=404)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("begin=yesterday&end=2026-07-01T10:00", "“yesterday” is no time. Write for instance 2026-11-03T08:30"),
        ("begin=2026-07-01T10:00&end=2026-07-01T09:00", "The end must be later, by at most 92 days."),
        ("begin=2026-07-01T08:00&end=2026-07-01T09:00", "There is no reading of Temperature (cpu) in this time."),
    ],
)
async def test_a_time_that_cannot_be_shown_is_explained(
    alice: httpx.AsyncClient, numbers: dict[str, int], staffed: Database, query: str, says: str
) -> None:
    async with staffed.begin() as session:
        chunk = {"device": "pump-07", "stream": an_id(1), "seq": 1, "body": a_batch([1.0], "last")}
        session.add(TelemetryChunk(**chunk, start_at=NOW - timedelta(hours=1), received_at=NOW))
    assert says in words_of(await read(alice, f"/devices/pump-07?metric={HEAT}&{query}"))


async def test_the_fleet_page_counts_cases_by_fault_and_model(
    alice: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    text = words_of(await read(alice, "/fleet"))
    assert "Devices online 6 of 7 watched" in text
    assert "7 cases by fault and model" in text
    assert "Too hot for too long 2 – 2" in text
    assert "Precision 100 % between 21 % and 100 % (95 %)" in text
    assert "Customers were first 0 of 1 true faults" in text
    assert "No device is absent" in text


async def test_the_figures_page_has_the_trend_as_chart_and_as_table(
    alice: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    page = await read(alice, "/figures?days=30")
    assert "Precision by week, all detectors: 100 % in the last labelled week" in words_of(page)
    assert '<svg class="drawn-chart small"' in page
    assert "2026-06-29 all 7 1 100 % (21 % to 100 %) unknown" in words_of(page)


async def test_dead_letters_are_counted_by_cause_and_shown_harmlessly(
    alice: httpx.AsyncClient, staffed: Database
) -> None:
    payloads = [HOSTILE.encode(), bytes(range(256)), b""]
    rows = [
        {"received_at": NOW, "topic": "a/b", "device": "pump-07", "cause": f"record {n}: twice", "payload": one}
        for n, one in enumerate(payloads)
    ]  # fmt: skip
    async with staffed.begin() as session:
        await add_dead_letters(session, rows, 100)
    assert "twice 3 1 " in words_of(await read(alice, "/dead-letters"))
    assert "record 2: twice" in words_of(await read(alice, "/dead-letters?cause=twice&device=pump-07"))
    assert "No dead letters" in await read(alice, "/dead-letters?device=other")
    text = await read(alice, "/dead-letters/1")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "0000  00 01 02 03" in await read(alice, "/dead-letters/2")
    assert "(empty)" in await read(alice, "/dead-letters/3")
    await read(alice, "/dead-letters/4", status=404)
    await read(alice, f"/dead-letters/{2**80}", status=404)


async def test_the_calendar_page_shows_hours_goals_and_holidays(
    staffed: Database, case_service: CaseService, change_signal: ChangeSignal, alice: httpx.AsyncClient
) -> None:
    assert "No calendar is configured" in await read(alice, "/calendars")
    office = CalendarTable(zone="Europe/Berlin", hours={"wed": ["09:00-13:00"]}, holidays=["2026-12-25"])
    times = ServiceTimes(calendars={"office": office}, office="office")
    app: FastAPI = create_app(staffed, case_service, change_signal, now=lambda: NOW, service_times=times)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        await client.post("/login", data={"name": "alice", "password": PASSWORD})
        text = words_of(await read(client, "/calendars"))
    assert "Closed now; working time begins 2026-07-08 07:00:00 UTC. Time zone Europe/Berlin." in text
    assert "Wed 09:00-13:00" in text
    assert "2026-12-25" in text
    assert "High always 1 h 4 h 24 h 24 h" in text


async def test_a_hostile_device_name_or_customer_stays_text(alice: httpx.AsyncClient, staffed: Database) -> None:
    async with staffed.begin() as session:
        session.add(
            Device(device="pump-07", first_seen=NOW, last_seen=NOW, customer=HOSTILE, site=HOSTILE, note=HOSTILE)
        )
    for path in ("/devices", "/devices/pump-07", "/devices/pump-07/edit", "/fleet"):
        assert "<img src=x" not in await read(alice, path)
