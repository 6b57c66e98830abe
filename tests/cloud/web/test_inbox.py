"""The inbox beyond its rows: pages, bulk actions, undo, saved views, and who else is looking."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from cloud.store.database import Database
from cloud.store.tables import SupportCase
from cloud.web import inbox_pages
from cloud.web.viewers import EXPIRES, Viewers, sentence
from tests.cloud.web.conftest import NOW, ORIGIN, PASSWORD, form_token
from tests.cloud.web.test_pages import read, words_of


@pytest.fixture
def database(sqlite: Database) -> Database:
    """Only SQLite: the tests of the store run on both."""
    return sqlite


@pytest.fixture
async def bob(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client in which Bob is logged in."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=ORIGIN, headers={"Origin": ORIGIN}
    ) as client:
        await client.post("/login", data={"name": "bob", "password": PASSWORD})
        yield client


async def post(client: httpx.AsyncClient, path: str, **fields: object) -> httpx.Response:
    token = form_token(await read(client, "/"))
    return await client.post(path, data={"form_token": token, "back": "inbox:is:open", **fields})


async def undo_of(client: httpx.AsyncClient, answer: httpx.Response) -> httpx.Response:
    """Press Undo in the toast of a change."""
    assert answer.status_code == 303, words_of(answer.text)
    page = await read(client, answer.headers["location"])
    found = re.search(r'name="token" value="([\w-]{22})"', page)
    assert found, words_of(page)
    return await post(client, "/undo", token=found[1])


async def case_row(database: Database, number: int) -> SupportCase:
    async with database.read() as session:
        return await session.get_one(SupportCase, number)


async def states(database: Database, numbers: dict[str, int]) -> dict[str, tuple[object, ...]]:
    names = ("state", "owner", "label", "reminder_at", "closed_at", "merged_into", "first_owner")
    rows = {device: await case_row(database, number) for device, number in numbers.items()}
    return {device: tuple(getattr(row, name) for name in names) for device, row in rows.items()}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"do": "take"}, "2 cases are assigned to you."),
        ({"do": "assign", "to": "bob"}, "2 cases are assigned."),
        ({"do": "snooze", "snooze_for": "4h"}, "2 cases are snoozed."),
        ({"do": "close", "label": "expected", "cause": "planned_work"}, "2 cases are closed as “Expected”."),
    ],
)
async def test_a_bulk_action_changes_all_selected_cases_and_is_undone_as_one(
    alice: httpx.AsyncClient,
    staffed: Database,
    numbers: dict[str, int],
    fields: dict[str, str],
    sentence: str,
) -> None:
    before = await states(staffed, numbers)
    chosen = [numbers["pump-07"], numbers["meter-21"]]
    answer = await post(alice, "/cases/bulk", case=chosen, **fields)
    assert sentence in await read(alice, answer.headers["location"])
    after = await states(staffed, numbers)
    assert {device for device in numbers if after[device] != before[device]} == {"pump-07", "meter-21"}
    undone = await undo_of(alice, answer)
    assert "Undone: 2 cases are as before." in await read(alice, undone.headers["location"])
    assert await states(staffed, numbers) == before


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"do": "take"}, "No case was changed. Case 2 is assigned to bob. Unassign it first."),
        ({"do": "assign", "to": "carol"}, "No case was changed. There is no account “carol”."),
        ({"do": "snooze", "snooze_for": "5h"}, "“5h” is not a time to snooze for. Choose one of 1h, 4h, 1d, 3d, 7d."),
        ({"do": "close"}, "Choose the outcome: without a label nothing is closed."),
        ({"do": "merge"}, "Only cases of one device are merged."),
        ({"do": "take", "case": []}, "No case is selected. Select one or more rows first."),
        ({"do": "take", "case": [2, 999]}, "There is no case 999."),
    ],
)
async def test_a_bulk_action_that_is_refused_for_one_case_changes_none(
    alice: httpx.AsyncClient,
    staffed: Database,
    numbers: dict[str, int],
    fields: dict[str, object],
    sentence: str,
) -> None:
    before = await states(staffed, numbers)
    chosen = {"case": [numbers["pump-07"], numbers["pump-11"]]}
    answer = await post(alice, "/cases/bulk", **chosen | fields)
    assert answer.status_code == 409
    assert sentence in words_of(answer.text).replace("&#39;", "'")
    assert await states(staffed, numbers) == before


async def test_cases_of_one_device_are_merged_and_taken_apart_again(
    alice: httpx.AsyncClient, staffed: Database, numbers: dict[str, int]
) -> None:
    number = numbers["kiln-02"]
    async with staffed.begin() as session:
        words = {"title": "kiln-02 is absent", "severity_reason": "high", "opened_reason": "", "merged_episodes": []}
        other = SupportCase(device="kiln-02", state="new", severity="high", opened_at=NOW, updated_at=NOW, **words)
        session.add(other)
    answer = await post(alice, "/cases/bulk", do="merge", case=[number, other.number])
    assert "merged." in await read(alice, answer.headers["location"])
    assert (await case_row(staffed, other.number)).merged_into == number
    await undo_of(alice, answer)
    assert (await case_row(staffed, other.number)).merged_into is None


@pytest.mark.parametrize("action", ["release", "hand-over", "close", "snooze"])
async def test_undo_puts_back_what_was_there_and_not_only_the_opposite(
    alice: httpx.AsyncClient, staffed: Database, numbers: dict[str, int], action: str
) -> None:
    before = await states(staffed, numbers)
    path = f"/cases/{numbers['pump-11']}"  # it is Bob's
    fields = {"to": "alice", "note": "Please go on.", "label": "expected", "cause": "usage", "snooze_for": "1d"}
    answer = await post(alice, f"{path}/{action}", **fields)
    assert await states(staffed, numbers) != before
    await undo_of(alice, answer)
    assert await states(staffed, numbers) == before
    assert "Undone by alice within ten seconds: the case is open and assigned to bob again." in await read(alice, path)


async def test_undoing_a_reopening_closes_the_case_as_it_was_closed(
    alice: httpx.AsyncClient, staffed: Database, numbers: dict[str, int]
) -> None:
    path = f"/cases/{numbers['pump-02']}"
    await undo_of(alice, await post(alice, f"{path}/reopen", reason="Is it?"))
    assert (await case_row(staffed, numbers["pump-02"])).label == "true_fault"
    assert words_of(await read(alice, path)).count("Fan was stuck.") >= 2


async def test_undo_is_refused_when_somebody_has_changed_the_case_since(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, staffed: Database, numbers: dict[str, int]
) -> None:
    number = numbers["pump-07"]
    answer = await post(alice, "/cases/bulk", do="take", case=[number, numbers["meter-21"]])
    await post(bob, f"/cases/{number}/snooze", snooze_for="1h")
    before = await states(staffed, numbers)
    refused = await undo_of(alice, answer)
    assert refused.status_code == 409
    assert f"Case {number} was changed since, and nothing was undone: Snoozed by bob" in words_of(refused.text)
    assert await states(staffed, numbers) == before


async def test_undo_is_for_the_one_who_made_the_change_and_only_once(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    answer = await post(alice, f"/cases/{numbers['pump-07']}/take")
    token = re.findall(r"undo=([\w-]{22})", answer.headers["location"])[0]
    assert (await post(bob, "/undo", token=token)).status_code == 409
    assert (await post(alice, "/undo", token=token)).status_code == 303
    again = await post(alice, "/undo", token=token)
    assert "A change can be undone for 10 seconds, once." in words_of(again.text)


async def test_undo_ends_after_ten_seconds(app: FastAPI, alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    answer = await post(alice, f"/cases/{numbers['pump-07']}/take")
    token = re.findall(r"undo=([\w-]{22})", answer.headers["location"])[0]
    object.__setattr__(app.state.console, "now", lambda: NOW + timedelta(seconds=13))
    assert (await post(alice, "/undo", token=token)).status_code == 409


async def test_the_inbox_has_pages_with_the_total(
    alice: httpx.AsyncClient, numbers: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_pages, "PAGE_ROWS", 4)
    first, second = await read(alice, "/"), await read(alice, "/?q=is:open&page=2")
    assert "1 to 4 of 6 cases Next page" in words_of(first)
    assert "5 to 6 of 6 cases Previous page" in words_of(second)
    shown = [re.findall(r'id="case-(\d+)"', page) for page in (first, second)]
    assert [len(each) for each in shown] == [4, 2]
    assert set(shown[0]) & set(shown[1]) == set()
    assert "5 to 6 of 6 cases" in words_of(await read(alice, "/?page=99"))


async def test_a_view_is_saved_with_its_count_for_oneself_or_everybody(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    await post(alice, "/views", q="severity:critical", name="Red ones")
    saved = await post(alice, "/views", q="device:pump-07", name="  Pump   7 ", shared="true")
    assert "The view is saved." in await read(alice, saved.headers["location"])
    assert "Pump 7 1 Red ones 2" in words_of(await read(alice, "/"))
    theirs = words_of(await read(bob, "/"))
    assert "Pump 7 1" in theirs
    assert "Red ones" not in theirs
    page = await read(alice, "/?q=device:pump-07")
    path = re.findall(r'action="(/views/\d+/delete)"', page)[0]
    refused = await post(bob, path)
    assert "“Pump 7” is alice's view. Ask alice to delete it." in words_of(refused.text).replace("&#39;", "'")
    await post(alice, path)
    assert "Pump 7" not in words_of(await read(alice, "/"))
    assert (await post(alice, path)).status_code == 404


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"q": "colour:red", "name": "Red"}, "“colour:” is not a filter."),
        ({"q": "is:open", "name": "  "}, "Enter a name for the view, of at most 40 characters."),
        ({"q": "is:open", "name": "x" * 41}, "Enter a name for the view, of at most 40 characters."),
    ],
)
async def test_a_view_that_would_not_work_is_not_saved(
    alice: httpx.AsyncClient, numbers: dict[str, int], fields: dict[str, str], sentence: str
) -> None:
    answer = await post(alice, "/views", **fields)
    assert answer.status_code in (400, 409)
    assert sentence in words_of(answer.text)


def test_viewers_are_those_whose_page_is_still_open() -> None:
    viewers = Viewers()
    first, second = viewers.enter(7, "bob", NOW), viewers.enter(7, "bob", NOW)
    viewers.enter(7, "alice", NOW)
    assert viewers.others(7, "alice", NOW) == ("bob",)
    viewers.leave(7, first)
    assert viewers.others(7, "alice", NOW) == ("bob",), "his other page is open"
    viewers.leave(7, second)
    assert viewers.others(7, "alice", NOW) == ()
    viewers.enter(7, "bob", NOW)
    assert viewers.others(7, "alice", NOW + EXPIRES + timedelta(seconds=1)) == ()
    assert sentence(("bob",)) == "bob is looking at this case"
    assert sentence(("bob", "carol")) == "bob and carol are looking at this case"
