"""Support staff at work in a browser: a case from arrival to label by mouse and by keyboard, and two people on one."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from cloud.case_service import CaseService
from cloud.change_signal import ChangeSignal
from cloud.store.database import Database
from cloud.store.queries import CaseFilter, inbox
from tests.cloud.web import seed
from tests.cloud.web.browser import ARGUMENTS, CHROMIUM, missing
from tests.cloud.web.conftest import PASSWORD

PATIENCE_MS = 60_000  # the browser shares two cores with the other tests
LogIn = Callable[..., Awaitable[Page]]
DISK = next(story for story in seed.stories() if story.device == "pump-07")


@pytest.fixture
def database(sqlite: Database) -> Database:
    """Only SQLite: what a browser shows does not depend on it."""
    return sqlite


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if reason := missing():
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        await browser.close()


@pytest.fixture
async def log_in(browser: Browser, served: str) -> AsyncIterator[LogIn]:
    """Log somebody in, in a window of their own. Anything that its console complains of fails the test."""
    complaints: list[str] = []

    async def log_in(name: str, **options: Any) -> Page:
        context = await browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{served}/login")
        await page.get_by_label("Name").fill(name)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await expect(page.locator("#live")).to_have_text("Live")
        return page

    yield log_in
    assert complaints == []


async def tab_to(page: Page, selector: str) -> None:
    """Press Tab until this field has the focus; a date alone takes six of them."""
    for _ in range(20):
        if await page.locator(selector).evaluate("field => field === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"{selector} can't be reached by Tab")


async def label_of(database: Database, number: int) -> str | None:
    async with database.read() as session:
        lines = await inbox(session, CaseFilter(states=frozenset({*CaseFilter().states, "closed"})), 20)  # type: ignore[arg-type]
        return next(line.case.label for line in lines if line.case.number == number)


async def test_a_case_from_its_arrival_to_its_label_by_mouse(
    log_in: LogIn, staffed: Database, case_service: CaseService, change_signal: ChangeSignal
) -> None:
    await seed.add_fleet(staffed, datetime.now(UTC))
    page = await log_in("alice")
    number = await seed.tell(staffed, case_service, DISK, datetime.now(UTC))
    change_signal.notify()
    await page.get_by_role("button", name="1 new case: show").click()
    await page.get_by_label(f"Select case {number}").check()
    await expect(page.locator("#picked")).to_have_text("1 case selected")
    await page.locator("#bulk").get_by_role("button", name="Assign to me").click()
    await expect(page.locator(f"#case-{number} .c-owner")).to_have_text("You")
    await page.locator(f"#case-{number} a").click()
    await expect(page.locator("figure.chart[data-drawn] svg.marks .mark-line path").first).to_be_visible()
    await page.locator("#act-note summary").click()
    await page.get_by_label("Note for the timeline").first.fill("Called the customer: a camera writes too much.")
    await page.get_by_role("button", name="Add note").click()
    await expect(page.locator("#timeline")).to_contain_text("a camera writes too much")
    await page.locator("#act-close summary").click()
    await page.get_by_label("True fault").check()
    await page.locator("#act-close select[name=cause]").select_option("capacity")
    await page.get_by_role("button", name="Close case").click()
    await expect(page.locator("#summary")).to_contain_text("Closed as true fault")
    assert await label_of(staffed, number) == "true_fault"


async def test_a_case_from_its_arrival_to_its_label_by_keyboard_alone(
    log_in: LogIn, staffed: Database, case_service: CaseService, change_signal: ChangeSignal
) -> None:
    await seed.add_fleet(staffed, datetime.now(UTC))
    page = await log_in("alice")
    keys = page.keyboard
    number = await seed.tell(staffed, case_service, DISK, datetime.now(UTC))
    change_signal.notify()
    await page.get_by_role("button", name="1 new case: show").focus()
    await keys.press("Enter")
    await expect(page.locator(".row")).to_have_count(1)

    await keys.press("?")
    await expect(page.locator("dialog#help")).to_be_visible()
    await keys.press("Escape")
    await keys.press("/")
    await expect(page.locator("#q")).to_be_focused()
    await keys.press("End")
    await keys.type(" pump")
    await keys.press("Enter")
    await expect(page).to_have_url(re.compile(r"q=is%3Aopen\+pump"))
    await keys.press("j")
    await expect(page.locator(f"#case-{number} a")).to_be_focused()
    await keys.press("a")
    await expect(page.locator(f"#case-{number} .c-owner")).to_have_text("You")
    await expect(page.locator("#toast")).to_contain_text("is assigned to you")
    await keys.press("u")
    await expect(page.locator(f"#case-{number} .c-owner")).to_have_text("Unassigned")
    await keys.press("s")
    await expect(page.locator("dialog#snoozing select")).to_be_focused()
    await keys.press("Tab")
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(page.locator(f"#case-{number}")).to_contain_text("snoozed, wakes in")
    await expect(page.locator(f"#case-{number} a")).to_be_focused()
    await keys.press("Enter")
    await expect(page).to_have_url(re.compile(rf"/cases/{number}$"))
    await keys.press("n")
    await keys.type("The customer deletes old recordings.")
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(page.locator("#timeline")).to_contain_text("deletes old recordings")
    await keys.press("g")
    await keys.press("i")
    await expect(page.locator(".row")).to_have_count(1)
    await keys.press("j")
    await keys.press("e")
    await keys.press("Space")
    await keys.press("Tab")
    await keys.type("Cap")
    await tab_to(page, "#closing textarea")
    await keys.type("Bigger disk ordered.")
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(page.locator("#toast")).to_contain_text(f"Case {number} is closed as “True fault”.")
    assert await label_of(staffed, number) == "true_fault"


async def test_two_people_on_one_case_see_each_other_and_what_the_other_does(
    log_in: LogIn, served: str, staffed: Database, case_service: CaseService
) -> None:
    await seed.add_fleet(staffed, datetime.now(UTC))
    number = await seed.tell(staffed, case_service, DISK, datetime.now(UTC))
    hers, his = await log_in("alice"), await log_in("bob")
    await hers.goto(f"{served}/cases/{number}")
    await expect(hers.locator("#live")).to_have_text("Live")
    await expect(hers.locator("#viewers")).to_be_empty()
    await his.goto(f"{served}/cases/{number}")
    await expect(hers.locator("#viewers")).to_have_text("bob is looking at this case")
    await expect(his.locator("#viewers")).to_have_text("alice is looking at this case")
    await his.get_by_role("button", name="Assign to me").click()
    await expect(hers.locator("#owner")).to_have_text("Assigned to bob")
    await his.goto(f"{served}/devices")
    await expect(hers.locator("#viewers")).to_be_empty()


async def test_a_page_is_complete_without_a_script(
    browser: Browser, served: str, staffed: Database, case_service: CaseService
) -> None:
    await seed.add_fleet(staffed, datetime.now(UTC))
    number = await seed.tell(staffed, case_service, DISK, datetime.now(UTC))
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{served}/login")
    await page.get_by_label("Name").fill("alice")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.locator(f"#case-{number} a").click()
    chart = page.locator("figure.chart svg.plain")
    await expect(chart.locator(".limit-text")).to_have_text("full: 31.2 GiB")
    await expect(chart.locator(".detected-text")).to_be_visible()
    await page.get_by_text("Show as table").click()
    await expect(page.get_by_role("columnheader", name="File system (/ used)")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_in_inbox_and_case(
    log_in: LogIn, served: str, staffed: Database, case_service: CaseService, scheme: str
) -> None:
    numbers = await seed.a_day(staffed, case_service, datetime.now(UTC))
    page = await log_in("alice", color_scheme=scheme)
    axe = Axe()
    assert await problems(axe, page) == []
    await page.get_by_label(f"Select case {numbers['pump-07']}").check()
    await page.locator("#bulk summary", has_text="Close").click()
    assert await problems(axe, page) == []
    await page.goto(f"{served}/?q=severity:critical")
    await page.locator("#act-view summary").click()
    assert await problems(axe, page) == []
    await page.goto(f"{served}/cases/{numbers['pump-07']}")
    await expect(page.locator("figure.chart[data-drawn] svg.marks").first).to_be_visible()
    await page.locator("#act-snooze summary").click()
    assert await problems(axe, page) == []
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    assert await problems(axe, page) == []


async def problems(axe: Axe, page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds: each rule with the places that break it."""
    found = (await axe.run(page)).response["violations"]
    return [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found]
