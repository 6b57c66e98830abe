"""Articles are edited in versions, count how often their advice worked, and stand beside similar closed cases."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.cases import Refused
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Advice, Cause, Label, Outcome
from cloud.knowledge import Article, library
from cloud.outcomes import outcome_followers
from cloud.store.database import Database
from cloud.store.tables import Device
from edge_agent.protocol.faults import FAULTS, Severity
from tests.builders import NOON, a_finding, an_id
from tests.cloud.web.conftest import form_token

SERVICE = CaseService(Rules(), outcome_followers())


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    async with database.begin() as session:
        yield session


async def a_case(session: AsyncSession, number: int, outcome: Outcome | None = None, **given: str) -> None:
    """Open a case on a device of its own; close it if there is an outcome."""
    device = f"pump-{number}"
    session.add(Device(device=device, first_seen=NOON, last_seen=NOON, hardware="Pi 5"))
    finding = a_finding(severity=Severity.CRITICAL, finding_id=an_id(number)).model_copy(update=given)
    await SERVICE.apply_finding(session, device, finding, NOON)
    if outcome:
        await SERVICE.staff.close(session, number, "bob", outcome, NOON + timedelta(hours=number))


async def test_the_advice_counts_the_cases_in_which_it_was_used(session: AsyncSession) -> None:
    for number, advice in enumerate([Advice.WORKED, Advice.WORKED, Advice.FAILED, Advice.NOT_USED], 1):
        await a_case(session, number, Outcome(label=Label.TRUE_FAULT, advice=advice))
    await SERVICE.staff.reopen(session, 2, "bob", "it is back", NOON)
    known = (await library.articles(session, ["disk.filling"]))["disk.filling"]
    assert (known.worked, known.used) == (1, 2)
    assert known.success is not None
    assert known.success.low < 0.5 < known.success.high
    untouched = (await library.articles(session, ["memory.leak"]))["memory.leak"]
    assert (untouched.used, untouched.success) == (0, None)


async def test_an_edit_is_a_new_version_and_two_edits_at_once_do_not_overwrite_each_other(
    session: AsyncSession,
) -> None:
    article = Article(fault="disk.filling", what="It fills.", steps="Delete it.\nCheck again.")
    await library.edit(session, article, 0, "bob", NOON)
    known = (await library.articles(session, ["disk.filling"]))["disk.filling"]
    assert (known.version, known.edited_by, known.article) == (1, "bob", article)
    with pytest.raises(Refused, match="edited by somebody else"):
        await library.edit(session, Article(fault="disk.filling", what="Mine."), 0, "bob", NOON)
    with pytest.raises(Refused, match="is empty"):
        await library.edit(session, Article(fault="disk.filling", what="  "), 1, "bob", NOON)
    await library.edit(session, Article(fault="disk.filling", what="Better."), 1, "bob", NOON)
    assert [(row.version, row.what) for row in await library.history(session, "disk.filling")] == [
        (2, "Better."),
        (1, "It fills."),
    ]


async def test_similar_cases_come_with_their_outcome_and_without_a_match_there_are_none(session: AsyncSession) -> None:
    outcome = Outcome(label=Label.TRUE_FAULT, cause=Cause.CAPACITY, note="card replaced")
    await a_case(session, 1, outcome)
    await a_case(session, 2, Outcome(label=Label.EXPECTED), component="/elsewhere")
    await a_case(session, 3, Outcome(label=Label.EXPECTED), fault="memory.leak", component="memory")
    await a_case(session, 4)
    first, second = await library.similar_cases(session, 4)
    assert (first.case.number, first.case.outcome) == (1, outcome)
    assert first.common == ("fault", "component", "model")
    assert second.case.number == 2
    assert await library.similar_cases(session, 3) == ()
    assert await library.similar_cases(session, 99) == ()


async def test_staff_read_and_edit_an_article_and_the_case_page_shows_it(
    bob: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    page = (await bob.get("/knowledge/disk.filling")).text
    assert "What to tell the customer" in page
    assert "As shipped." in page
    form = {"form_token": form_token(page), "version": "0", "what": "<script>alert(1)</script>", "steps": "Call Bob."}
    assert (await bob.post("/knowledge/disk.filling", data=form)).status_code == 303
    page = (await bob.get("/knowledge/disk.filling")).text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "Version 1, edited by bob" in page
    case = (await bob.get(f"/cases/{numbers['pump-07']}")).text
    assert "<li>Call Bob.</li>" in case
    again = await bob.post("/knowledge/disk.filling", data=form)
    assert again.status_code == 409
    assert "was edited by somebody else" in again.text
    assert "Call Bob." in again.text  # what was written is not lost


async def test_a_fault_without_an_article_is_shown_as_such_and_staff_can_write_one(
    bob: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    page = (await bob.get("/knowledge/pump.cavitation")).text
    assert "There is no article for this fault." in page
    form = {"form_token": form_token(page), "version": "0", "what": "Bubbles in the pump."}
    assert (await bob.post("/knowledge/pump.cavitation", data=form)).status_code == 303
    listed = (await bob.get("/knowledge")).text
    assert "pump.cavitation" in listed
    assert all(fault in listed for fault in FAULTS)


async def test_the_page_of_a_case_shows_honestly_that_there_is_nothing_to_compare_with(
    bob: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    alone = (await bob.get(f"/cases/{numbers['pump-07']}")).text
    assert "No closed case had this fault. There is nothing to compare with." in alone
    matched = (await bob.get(f"/cases/{numbers['kiln-02']}")).text
    assert "true fault</b>, hardware. Fan was stuck." in matched
