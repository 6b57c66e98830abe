"""The picture tour of docs/console.md: python -m tests.cloud.web.tour [--out docs/images/console].

Makes a fleet of 48 devices with two months of cases, takes the pictures of each page in desktop and phone size, light
and dark, and checks each page with axe. A picture has at most 150 kB. Exit code 1 if axe finds anything, or a page
scrolls sideways.
"""

import argparse
import asyncio
import io
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from cloud import accounts
from cloud.case_service import CaseService
from cloud.cases.calendars import CalendarTable
from cloud.cases.episodes import Rules
from cloud.change_signal import ChangeSignal
from cloud.outcomes import outcome_followers
from cloud.store.database import Database
from cloud.web.app import create_app
from cloud.web.service_times import ServiceTimes
from tests.cloud.web.browser import ARGUMENTS, CHROMIUM
from tests.cloud.web.fleet_history import History
from tests.cloud.web.screenshots import SCHEMES, SIZES

OUT = Path(__file__).parents[3] / "docs" / "images" / "console"
LARGEST = 150_000  # bytes of a picture
PASSWORD = "correct horse"
PICTURED = ("inbox", "case", "problem", "device", "fleet", "figures")  # of these the documentation has pictures
CALENDAR = CalendarTable(zone="Europe/Berlin", hours={"mon": ["09:00-17:00"], "tue": ["09:00-17:00"]})


def main() -> int:
    """Take all pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--all", action="store_true", help="pictures of the other pages too, for looking")
    parser.add_argument("--page", action="append", metavar="NAME", help="visit only this page; may be repeated")
    given = parser.parse_args()
    chosen = given.page or list(pages(0))
    if unknown := sorted(set(chosen) - set(pages(0))):
        parser.error(f"there is no page {unknown[0]}; known: {', '.join(pages(0))}")
    given.out.mkdir(parents=True, exist_ok=True)
    faults = asyncio.run(tour(given.out, chosen, everything=given.all))
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults")
    return 1 if faults else 0


async def tour(out: Path, chosen: list[str], *, everything: bool) -> list[str]:
    """Take the pictures; return what is wrong with the pages."""
    with tempfile.TemporaryDirectory(prefix="forewarn-tour-") as folder:
        database = Database(f"sqlite+aiosqlite:///{folder}/cloud.db")
        await database.migrate()
        async with _served(database) as (url, case), async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            faults = []
            for size in SIZES:
                for scheme in SCHEMES:
                    page = await _log_in(browser, url, (size, scheme))
                    wanted = {name: url + path for name, path in pages(case).items() if name in chosen}
                    faults += await _walk(page, wanted, f"{size}-{scheme}", out, everything=everything)
                    await page.context.close()
            await browser.close()
        await database.close()
    return faults


@asynccontextmanager
async def _served(database: Database) -> AsyncIterator[tuple[str, int]]:
    """Seed a database and serve it; yield the address and the number of the case that is shown."""
    case_service, signal = CaseService(Rules(), outcome_followers()), ChangeSignal()
    now = datetime.now(UTC)
    async with database.begin() as session:
        for name in ("alice", "bob"):
            await accounts.add_account(session, name, PASSWORD, now)
    numbers = await History(database, case_service, now).apply()
    times = ServiceTimes(calendars={"office": CALENDAR}, office="office")
    app = create_app(database, case_service, signal, now=lambda: datetime.now(UTC), service_times=times)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", numbers["pump-07"]
    signal.close()
    server.should_exit = True
    await serving


def pages(case: int) -> dict[str, str]:
    """The pages by name, the pictured ones first."""
    return {
        "inbox": "/",
        "case": f"/cases/{case}",
        "problem": "/problems/1",
        "device": "/devices/pump-07",
        "fleet": "/fleet",
        "figures": "/figures",
        "devices": "/devices",
        "watch": "/watch",
        "customers": "/inventory",
        "customer": "/inventory/customer?name=Northfield+Water",
        "site": "/inventory/site?customer=Brandt+Print&name=Hall+1",
        "import": "/inventory/import",
        "edit": "/devices/pump-07/edit",
        "dead-letters": "/dead-letters",
        "dead-letter": "/dead-letters/3",
        "calendars": "/calendars",
        "new-device": "/devices/freezer-90",
    }


async def _log_in(browser: Browser, url: str, kind: tuple[str, Any]) -> Page:
    size, scheme = kind
    width, height = SIZES[size]
    phone = size == "phone"
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        has_touch=phone,
        is_mobile=phone,
        reduced_motion="reduce",
    )
    page = await context.new_page()
    await page.goto(f"{url}/login")
    await page.get_by_label("Name").fill("alice")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_selector("#rows")
    return page


async def _walk(page: Page, addresses: dict[str, str], kind: str, out: Path, *, everything: bool) -> list[str]:
    faults = []
    for name, address in addresses.items():
        await page.goto(address)
        if await page.locator("figure[data-vega]").count():
            await page.wait_for_selector("figure[data-drawn]", timeout=120_000)
        faults += [f"{name} {kind}: {text}" for text in await wrong_with(page)]
        if everything or name in PICTURED:
            _write(out / f"{name}-{kind}.png", await page.screenshot())
        if everything:
            _write(out / f"{name}-{kind}-whole.png", await page.screenshot(full_page=True))
    return faults


async def wrong_with(page: Page) -> list[str]:
    """Return what axe finds on a page, and whether it scrolls sideways."""
    await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    wrong = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found["violations"]]
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return wrong + ([f"scrolls {wide} px sideways"] if wide > 0 else [])


def _write(file: Path, png: bytes) -> None:
    """Write a picture with as many colours as fit into the size that is allowed."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in (256, 128, 64, 32):
        small = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        if small.tell() <= LARGEST:
            break
    file.write_bytes(small.getvalue())
    print(file, f"{small.tell() // 1000} kB")


if __name__ == "__main__":
    sys.exit(main())
