"""What only a browser can tell: news without a reload, the keyboard, the drawn chart, undo; and the live stream."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from cloud.case_service import CaseService
from cloud.change_signal import ChangeSignal
from cloud.outcomes.evidence_snapshots import EvidenceSnapshots
from cloud.store.database import Database
from cloud.web import formatting
from tests.cloud.web import seed
from tests.cloud.web.browser import ARGUMENTS, CHROMIUM, missing
from tests.cloud.web.conftest import NOW, PASSWORD

DISK = next(story for story in seed.stories() if story.device == "pump-07")


@pytest.fixture
async def page(served: str) -> AsyncIterator[Page]:
    """Alice's browser, logged in. Anything that its console complains of fails the test."""
    if reason := missing():
        pytest.skip(reason)
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{served}/login")
        await page.get_by_label("Name").fill("alice")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        yield page
        await browser.close()
    assert complaints == []


async def test_alice_works_on_a_case_from_its_arrival_to_its_label(
    page: Page, staffed: Database, case_service: CaseService, change_signal: ChangeSignal
) -> None:
    await seed.add_fleet(staffed, datetime.now(UTC))
    await page.reload()
    await expect(page.get_by_text("No open cases")).to_be_visible()
    await expect(page.locator("#live")).to_have_text("Live")
    await page.evaluate("window.sameDocument = true")

    number = await seed.tell(staffed, case_service, DISK, datetime.now(UTC))
    change_signal.notify()
    await page.get_by_role("button", name="1 new case: show").click()
    await expect(page.locator(".row")).to_contain_text("File system / of pump-07 is filling up")
    await expect(page.locator(".c-left")).to_have_text(re.compile(r"impact in 2 h 5[12] min"))
    assert await page.evaluate("window.sameDocument"), "no reload"

    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(rf"/cases/{number}$"))
    await expect(page.locator("figure.chart[data-drawn] svg.marks .mark-line path").first).to_be_visible()
    await expect(page.locator("figure.chart svg.marks")).to_contain_text("full: 31.2 GiB")

    await page.keyboard.press("a")
    await expect(page.locator("#owner")).to_have_text("Assigned to you")
    await page.keyboard.press("e")
    await page.get_by_label("True fault").check()
    await page.locator("#act-close select[name=cause]").select_option("capacity")
    await page.get_by_role("button", name="Close case").click()
    await expect(page.locator("#toast")).to_contain_text(f"Case {number} is closed as “True fault”.")
    await expect(page.locator("#summary")).to_contain_text("Closed as true fault")
    await page.locator("#toast").get_by_role("button", name="Undo").click()
    await expect(page.locator("#summary")).to_contain_text("Impact in")
    await expect(page.locator("#timeline")).to_contain_text("Undone by alice within ten seconds")


async def test_what_is_being_read_does_not_move(
    page: Page, staffed: Database, case_service: CaseService, change_signal: ChangeSignal
) -> None:
    await seed.add_fleet(staffed, datetime.now(UTC))
    number = await seed.tell(staffed, case_service, DISK, datetime.now(UTC))
    await page.reload()
    await expect(page.locator("#live")).to_have_text("Live")
    await page.keyboard.press("j")
    before = await page.locator(f"#case-{number}").bounding_box()

    critical = next(story for story in seed.stories() if story.device == "press-12")
    await seed.tell(staffed, case_service, critical, datetime.now(UTC))
    async with staffed.begin() as session:
        await case_service.staff.take(session, number, "bob", datetime.now(UTC))
    change_signal.notify()
    await expect(page.locator(f"#case-{number}")).to_contain_text("bob")
    await expect(page.get_by_role("button", name="1 new case: show")).to_be_visible()
    assert await page.locator(f"#case-{number}").bounding_box() == before
    await expect(page.locator(f"#case-{number} a")).to_be_focused()
    await page.get_by_role("button", name="1 new case: show").click()
    await expect(page.locator(".row").first).to_contain_text("press-12")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the layout does not depend on it
async def test_nothing_scrolls_sideways_on_a_phone(
    page: Page, served: str, staffed: Database, case_service: CaseService
) -> None:
    numbers = await seed.a_day(staffed, case_service, datetime.now(UTC))
    await page.set_viewport_size({"width": 390, "height": 844})
    async with staffed.begin() as session:
        await EvidenceSnapshots().tick(session, datetime.now(UTC))
    learned = (
        "/figures",
        "/knowledge",
        "/knowledge/disk.filling",
        "/sensitivity",
        f"/cases/{numbers['pump-07']}/evidence",
    )
    for address in ("/", "/devices", *learned, *(f"/cases/{number}" for number in numbers.values())):
        await page.goto(served + address)
        assert await page.evaluate("document.documentElement.scrollWidth") == 390, address


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # what is drawn does not depend on it
async def test_frozen_evidence_is_drawn_live_from_its_specification(
    page: Page, served: str, staffed: Database, case_service: CaseService
) -> None:
    numbers = await seed.a_day(staffed, case_service, datetime.now(UTC))
    async with staffed.begin() as session:
        await EvidenceSnapshots().tick(session, datetime.now(UTC))
    await page.goto(f"{served}/cases/{numbers['pump-07']}")
    await page.get_by_role("link", name="All that the case was opened on").click()
    await expect(page.locator("figure.chart[data-drawn] svg.marks .mark-line path").first).to_be_visible()
    await expect(page.locator("figure.chart svg.marks")).to_contain_text("full: 31.2 GiB")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="SVG").click()
    assert "<svg" in (await (await download.value).path()).read_text()


async def test_the_script_words_times_like_the_server(page: Page) -> None:
    seconds = [-5, 0, 59.9, 89, 89.4, 89.6, 91, 3569, 3599, 3600, 5399, 5400, 11_400, 86_399, 172_799, 187_200, 9e6]
    shown = await page.evaluate(
        """async (seconds) => {
          const { duration, interval, countdown } = await import(document.querySelector("script[src]").src);
          const say = (s) => [duration(s), duration(s, true), countdown(s * 1000, 0), interval(s * 1000, s * 2000, 0)];
          return seconds.map(say);
        }""",
        seconds,
    )
    now = datetime.fromtimestamp(0, tz=UTC)
    expected = []
    for s in seconds:
        low, high = datetime.fromtimestamp(s, tz=UTC), datetime.fromtimestamp(2 * s, tz=UTC)
        expected.append(
            [
                formatting.duration(s),
                formatting.duration(s, coarse=True),
                formatting.countdown(low, now),
                formatting.interval(low, high, now),
            ]
        )
    assert shown == expected


async def test_the_stream_tells_of_changes_after_the_place_it_is_given(
    served: str, staffed: Database, case_service: CaseService, change_signal: ChangeSignal
) -> None:
    await seed.add_fleet(staffed, NOW)
    async with httpx.AsyncClient(base_url=served, timeout=10) as client:
        await client.post("/login", data={"name": "alice", "password": PASSWORD})
        async with client.stream("GET", "/live?after=0") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            events = _events(stream)
            name, data, _ = await anext(events)
            assert (name, data["devices"], data["online"]) == ("devices", 7, 6)
            number = await seed.tell(staffed, case_service, DISK, datetime.now(UTC))
            change_signal.notify()
            name, data, place = await anext(events)
            assert (name, data) == ("changed", {"cases": [number]})
        async with client.stream("GET", "/live?after=0", headers={"Last-Event-ID": place}) as stream:
            name, _, _ = await anext(_events(stream))
            assert name == "devices", "what was told already is not told again"


async def test_the_stream_ends_with_the_login(served: str, change_signal: ChangeSignal) -> None:
    async with httpx.AsyncClient(base_url=served, timeout=10, headers={"Origin": served}) as client:
        await client.post("/login", data={"name": "alice", "password": PASSWORD})
        async with client.stream("GET", "/live") as stream:
            events = _events(stream)
            assert (await anext(events))[0] == "devices"
            page = (await client.get("/")).text
            token = re.findall(r'name="form_token" value="(\w+)"', page)[0]
            await client.post("/logout", data={"form_token": token})
            change_signal.notify()
            async with asyncio.timeout(5):
                assert [event async for event in events] == []


async def test_the_stream_ends_when_the_service_stops(served: str, change_signal: ChangeSignal) -> None:
    async with httpx.AsyncClient(base_url=served, timeout=10) as client:
        await client.post("/login", data={"name": "alice", "password": PASSWORD})
        async with client.stream("GET", "/live") as stream:
            events = _events(stream)
            assert (await anext(events))[0] == "devices"
            change_signal.close()
            async with asyncio.timeout(5):
                assert [event async for event in events] == []


async def _events(stream: httpx.Response) -> AsyncIterator[tuple[str, Any, str]]:
    """Name, data and id of each event."""
    fields: dict[str, str] = {}
    async for line in stream.aiter_lines():
        if not line and "event" in fields:
            yield fields["event"], json.loads(fields["data"]), fields.get("id", "")
            fields = {}
        elif line and not line.startswith(":"):
            key, _, value = line.partition(": ")
            fields[key] = value
