"""What axe finds on the pages of devices, fleet and inventory: nothing, light and dark."""

from typing import Literal

import pytest
from playwright.async_api import async_playwright

from cloud.store.database import Database
from tests.cloud.web.browser import ARGUMENTS, CHROMIUM, missing
from tests.cloud.web.conftest import PASSWORD
from tests.cloud.web.tour import wrong_with

PAGES = (
    "/devices", "/devices/pump-07", "/devices/pump-07/edit", "/fleet", "/figures", "/watch", "/inventory",
    "/inventory/customer", "/inventory/import", "/dead-letters", "/calendars",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_and_no_page_scrolls_sideways(
    served: str, staffed: Database, numbers: dict[str, int], scheme: Literal["light", "dark"]
) -> None:
    if reason := missing():
        pytest.skip(reason)
    found = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = await browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        await page.goto(f"{served}/login")
        await page.get_by_label("Name").fill("alice")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        for address in PAGES:
            await page.goto(served + address)
            if wrong := await wrong_with(page):
                found[address] = wrong
        await browser.close()
    assert found == {}
