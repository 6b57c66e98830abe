"""Service levels and mails in the console: the clocks of a case, who was told, and whether it arrived."""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update

from cloud.case_service import CaseService
from cloud.cases.calendars import ALWAYS
from cloud.cases.episodes import Rules
from cloud.cases.service_levels import ServiceLevels
from cloud.notify import NotificationFollower, NotifyTable
from cloud.service_levels import ClockKeeper
from cloud.store.database import Database
from cloud.store.service_tables import Notification
from cloud.store.tables import SYSTEM_DEVICE
from tests.cloud.web.conftest import NOW
from tests.cloud.web.test_pages import read, words_of
from tests.cloud.web.test_rule_pages import post, report


@pytest.fixture
def case_service() -> CaseService:
    mail = NotificationFollower(NotifyTable(to=["support@example.org"]))
    return CaseService(Rules(), (ClockKeeper(ServiceLevels(), lambda _name: ALWAYS), mail))


@pytest.fixture
async def case(staffed: Database, case_service: CaseService) -> None:
    await report(staffed, case_service, "kiln-1")


@pytest.mark.parametrize("path", ["/mails", "/api/v1/notifications", "/api/v1/cases/1/clocks"])
async def test_the_pages_are_for_staff_only(carol: httpx.AsyncClient, path: str) -> None:
    assert (await carol.get(path)).status_code in (303, 401)


@pytest.mark.usefixtures("case")
async def test_a_case_shows_its_clocks_and_the_inbox_the_one_that_is_due_next(alice: httpx.AsyncClient) -> None:
    page = words_of(await read(alice, "/cases/1"))
    assert "Acknowledge due in 50 min within 1 h, support clock" in page
    assert "First response to the customer due in 3 h 50 min within 4 h, support clock" in page
    assert "acknowledge in 50 min" in words_of(await read(alice, "/"))
    await post(alice, "/cases/1", "/cases/1/take")
    assert "Acknowledge met after 10 min" in words_of(await read(alice, "/cases/1"))


@pytest.mark.usefixtures("case")
async def test_the_first_word_with_the_customer_starts_the_customer_clock(alice: httpx.AsyncClient) -> None:
    answer = await post(alice, "/cases/1", "/cases/1/contact", note="They know; a visit is booked.")
    page = words_of(await read(alice, answer.headers["location"]))
    assert "Case 1: the customer knows. The customer clock runs." in page
    assert "Customer contacted by alice: They know; a visit is booked." in page
    assert "Resolution for the customer due in 24 h within 24 h, customer clock" in page
    clocks = (await alice.get("/api/v1/cases/1/clocks")).json()["clocks"]
    assert {each["kind"] for each in clocks} == {"acknowledge", "first_response", "resolution", "customer"}
    assert (await alice.get("/api/v1/cases/9/clocks")).status_code == 404


@pytest.mark.usefixtures("case")
async def test_a_mail_is_shown_with_its_outcome(staffed: Database, alice: httpx.AsyncClient) -> None:
    async with staffed.begin() as session:
        refused = {"state": "failed", "outcome": "Refused by the mail server: 550 <b>no</b>", "repeats": 3}
        await session.execute(update(Notification).values(refused))
    page = await read(alice, "/cases/1")
    assert "Failed: new case to support@example.org" in words_of(page)
    assert "covers 3 more events" in words_of(page)
    assert "550 &lt;b&gt;no&lt;/b&gt;" in page
    assert "Refused by the mail server" in words_of(await read(alice, "/mails"))
    (mail,) = (await alice.get("/api/v1/notifications")).json()["notifications"]
    assert (mail["event"], mail["state"], mail["repeats"]) == ("opened", "failed", 3)


async def test_without_mails_the_page_says_how_to_get_them(alice: httpx.AsyncClient) -> None:
    assert "Nobody is told by mail before notify.to and notify.smtp_url are set" in words_of(
        await read(alice, "/mails")
    )


async def test_a_case_of_the_cloud_itself_says_so_and_its_device_is_on_no_list(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await report(staffed, case_service, SYSTEM_DEVICE, fault="ingest.stopped", minutes_ago=1)
    assert "This case is about the cloud itself, which observed it." in words_of(await read(alice, "/cases/1"))
    assert "No device has reported yet" in words_of(await read(alice, "/devices"))


async def test_a_clock_that_was_missed_stays_visible(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await report(staffed, case_service, "kiln-1", minutes_ago=90)
    keeper = ClockKeeper(ServiceLevels(), lambda _name: ALWAYS)
    async with staffed.begin() as session:
        await keeper.tick(session, case_service, NOW - timedelta(seconds=1))
    page = words_of(await read(alice, "/cases/1"))
    assert "Acknowledge missed, due 30 min ago within 1 h" in page
    assert "Service level missed: acknowledge within 1 h." in page
