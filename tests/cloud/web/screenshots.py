"""Pictures of the console, for people to judge: python -m tests.cloud.web.screenshots OUT URL --password-file F.

Inbox, case and devices in desktop and phone size, light and dark, as PNG. Never compared by a program.
"""

import argparse
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.cloud.web.browser import ARGUMENTS, CHROMIUM

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def main() -> None:
    """Take all pictures and name each file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("url")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--name", default="admin")
    parser.add_argument("--case", type=int, action="append", help="a case's number (default: the inbox's first)")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    password = given.password_file.read_text().strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        for size in SIZES:
            for scheme in SCHEMES:
                page = _logged_in(browser, given.url.rstrip("/"), (given.name, password), size, scheme)
                _walk(page, given.url.rstrip("/"), given.out, f"{size}-{scheme}", given.case)
                page.context.close()
        browser.close()


def _logged_in(browser: Browser, url: str, who: tuple[str, str], size: str, scheme: Literal["light", "dark"]) -> Page:
    width, height = SIZES[size]
    phone = size == "phone"
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=phone, is_mobile=phone
    )
    page = context.new_page()
    page.goto(f"{url}/login")
    page.get_by_label("Name").fill(who[0])
    page.get_by_label("Password").fill(who[1])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("#rows")
    return page


def _walk(page: Page, url: str, out: Path, kind: str, cases: list[int] | None) -> None:
    _shoot(page, out / f"inbox-{kind}.png")
    found = page.locator(".row a.c-what")
    addresses = [f"/cases/{number}" for number in cases or ()]
    if not addresses and found.count():
        addresses = [found.first.get_attribute("href") or "/"]
    for place, address in enumerate(addresses):
        page.goto(url + address)
        if page.locator("figure.chart").count():
            page.wait_for_selector("figure.chart[data-drawn]")
        name = f"case-{kind}" if place == 0 else f"case{place + 1}-{kind}"
        _shoot(page, out / f"{name}.png")
        _shoot(page, out / f"{name}-whole.png", whole=True)
    page.goto(f"{url}/devices")
    _shoot(page, out / f"devices-{kind}.png")


def _shoot(page: Page, file: Path, *, whole: bool = False) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    page.screenshot(path=file, full_page=whole)
    print(file, f"(scrolls {wide} px sideways)" if wide > 0 else "")


if __name__ == "__main__":
    main()
