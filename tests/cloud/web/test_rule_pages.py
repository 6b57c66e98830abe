"""Pages of problems, silences and the watch list, and the further actions on a case."""

import re
from datetime import timedelta

import httpx
import pytest

from cloud.case_service import CaseService
from cloud.cases.outcomes import Outcome
from cloud.store.database import Database
from cloud.store.tables import Device, Label
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Phase
from tests.builders import a_finding, an_instant
from tests.cloud.web.conftest import NOW, form_token
from tests.cloud.web.test_pages import HOSTILE, read, words_of


async def report(
    database: Database,
    service: CaseService,
    device: str,
    *,
    fault: str = "disk.filling",
    severity: Severity = Severity.HIGH,
    minutes_ago: float = 10,
    phase: Phase = Phase.OPEN,
    reason: str = "/data grows",
) -> None:
    at = NOW - timedelta(minutes=minutes_ago)
    finding = a_finding(phase, fault=fault, severity=severity, at=an_instant(wall=at), reason=reason)
    async with database.begin() as session:
        if await session.get(Device, device) is None:
            session.add(Device(device=device, first_seen=at, last_seen=at, firmware="fw-9", site="Harbour"))
        await service.apply_finding(session, device, finding, at)
        await service.tick(session, at + timedelta(seconds=10))


async def a_storm(database: Database, service: CaseService) -> None:
    for number in range(4):
        await report(database, service, f"kiln-{number}")
    await report(database, service, "kiln-9", fault="storage.read_only", severity=Severity.CRITICAL)


async def post(
    client: httpx.AsyncClient, page: str, action: str, status: int = 303, /, **fields: str
) -> httpx.Response:
    token = form_token(await read(client, page))
    answer = await client.post(action, data={"form_token": token, **fields})
    assert answer.status_code == status, words_of(answer.text)
    return answer


@pytest.mark.parametrize("path", ["/problems", "/problems/1", "/watch", "/silences", "/notices"])
async def test_the_pages_are_for_staff_only(carol: httpx.AsyncClient, path: str) -> None:
    answer = await carol.get(path)
    assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login")


async def test_the_inbox_shows_a_storm_as_one_problem_and_the_critical_case_beside_it(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await a_storm(staffed, case_service)
    page = await read(alice, "/")
    rows = re.findall(r'<li class="row.*?</li>', page, re.DOTALL)
    assert len(rows) == 1
    assert "kiln-9" in rows[0]
    assert "on several devices of firmware fw-9 4 open cases" in words_of(page)
    members = await read(alice, "/?q=problem:1")
    assert len(re.findall(r'<li class="row', members)) == 4


async def test_a_problem_is_worked_on_and_announced_in_one_place(
    staffed: Database, case_service: CaseService, bob: httpx.AsyncClient
) -> None:
    await a_storm(staffed, case_service)
    await post(bob, "/problems/1", "/problems/1/take")
    await post(bob, "/problems/1", "/problems/1/announce", text=HOSTILE)
    await post(bob, "/problems/1", "/problems/1/note", text="asked the firmware team")
    page = words_of(await read(bob, "/problems/1"))
    assert "Assigned to you" in page
    assert "3 devices of firmware fw-9 reported disk.filling" in page
    assert "asked the firmware team" in page
    case = await read(bob, "/cases/1")
    assert HOSTILE not in case
    assert "Announcement by bob: &lt;img src=x" in case.replace("<b>", "").replace("</b>", "")
    await post(bob, "/problems/1", "/problems/1/close", label="true_fault", cause="software", note="rolled back")
    assert "0 open of 4 cases" in words_of(await read(bob, "/problems/1"))
    assert "Cause: software. With problem 1. rolled back" in words_of(await read(bob, "/cases/1"))


async def test_a_silence_is_entered_in_its_zone_and_shows_what_it_suppressed(
    staffed: Database, case_service: CaseService, bob: httpx.AsyncClient
) -> None:
    fields = {"device": "kiln-1", "reason": HOSTILE, "zone": "Europe/Berlin", "ends": "2026-07-01T18:00"}
    await post(bob, "/silences", "/silences", **fields)
    await report(staffed, case_service, "kiln-1", minutes_ago=0)
    page = await read(bob, "/silences")
    assert HOSTILE not in page
    words = words_of(page)
    assert "2026-07-01 14:00 to 2026-07-01 18:00 (Europe/Berlin) Active bob" in words
    assert "kiln-1: disk.filling on /data, evaluated again at its end" in words
    await post(bob, "/silences", "/silences/1/end")
    assert "Ended early by bob" in words_of(await read(bob, "/silences"))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"zone": "Mars/Olympus", "ends": "2026-07-02T18:00"}, "is no IANA time zone"),
        ({"ends": "tomorrow"}, "is no date and time"),
        ({"ends": "2026-07-01T10:00"}, "must be after its start"),
        ({"ends": "2026-07-02T18:00", "device": ""}, "A silence of everything is not allowed"),
        ({"ends": "2026-07-02T18:00", "from_time": "25:00"}, "is no time of day"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused_and_what_was_entered_stays(
    bob: httpx.AsyncClient, fields: dict[str, str], sentence: str
) -> None:
    given = {"device": "kiln-1", "reason": "swap", "zone": "Europe/Berlin"} | fields
    answer = await post(bob, "/silences", "/silences", 409, **given)
    assert sentence in words_of(answer.text)
    assert 'value="swap"' in answer.text


async def test_the_watch_list_shows_what_became_of_information(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    for fault, later in (("load.unexplained", Severity.INFO), ("disk.slow", Severity.HIGH)):
        await report(staffed, case_service, "kiln-1", fault=fault, severity=Severity.INFO, reason=HOSTILE)
        await report(staffed, case_service, "kiln-1", fault=fault, severity=later, minutes_ago=5, phase=Phase.UPDATE)
    page = await read(alice, "/watch?device=kiln-1")
    assert HOSTILE not in page
    assert "rose to case 1" in words_of(page)
    assert "still there" in words_of(page)
    await post(alice, "/watch", "/watch/1/acknowledge")
    assert "alice" in words_of(await read(alice, "/watch"))


async def test_a_case_is_handed_over_snoozed_and_woken(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await report(staffed, case_service, "kiln-1")
    await post(alice, "/cases/1", "/cases/1/take")
    await post(alice, "/cases/1", "/cases/1/snooze", until="2026-07-01T18:00", zone="Europe/Berlin", note="part comes")
    assert "Snoozed until" in words_of(await read(alice, "/cases/1"))
    await post(alice, "/cases/1", "/cases/1/wake")
    await post(alice, "/cases/1", "/cases/1/hand-over", to="bob", note="yours")
    page = words_of(await read(alice, "/cases/1"))
    assert "Assigned to bob" in page
    assert "alice is kept informed until it is closed" in page
    inbox = await read(alice, "/?q=is:open informed:me")
    assert "kiln-1" in inbox
    answer = await post(alice, "/cases/1", "/cases/1/snooze", 409, until="2020-01-01T18:00", zone="UTC")
    assert "must be in the future" in words_of(answer.text)


async def test_who_handed_a_case_over_gets_notices_until_it_is_closed(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await report(staffed, case_service, "kiln-1")
    await post(alice, "/cases/1", "/cases/1/take")
    await post(alice, "/cases/1", "/cases/1/hand-over", to="bob", note="yours")
    assert "No notices" in words_of(await read(alice, "/notices"))
    async with staffed.begin() as session:
        await case_service.staff.note(session, 1, "bob", HOSTILE, NOW)
        await case_service.staff.close(session, 1, "bob", Outcome(label=Label.TRUE_FAULT, note="card replaced"), NOW)
        await case_service.staff.note(session, 1, "bob", "after the closing", NOW)
    assert "Notices 2" in words_of(await read(alice, "/"))
    page = await read(alice, "/notices")
    assert HOSTILE not in page
    assert "Closed by bob as true fault. card replaced" in words_of(page)
    assert "after the closing" not in words_of(page)
    await post(alice, "/notices", "/notices/read")
    assert "Notices" not in words_of(await read(alice, "/"))


async def test_cases_are_merged_and_unmerged(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await report(staffed, case_service, "kiln-1", minutes_ago=60)
    await report(staffed, case_service, "kiln-1", minutes_ago=50, phase=Phase.CLEAR)
    await report(staffed, case_service, "kiln-1", fault="memory.leak", minutes_ago=30)
    await post(alice, "/cases/2", "/cases/2/merge", into="1")
    assert "Continues in case 1" in words_of(await read(alice, "/cases/2"))
    assert "Continues case 2" in words_of(await read(alice, "/cases/1"))
    await post(alice, "/cases/2", "/cases/2/unmerge", reason="wrong case")
    assert "wrong case" in words_of(await read(alice, "/cases/2"))


async def test_a_case_names_its_lane_and_the_cause_of_a_fault(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await report(staffed, case_service, "kiln-1")
    await report(staffed, case_service, "kiln-1", fault="service.failed", minutes_ago=5)
    page = words_of(await read(alice, "/cases/1"))
    assert "Needs action now" in page
    assert "Explained by disk.filling" in page


async def test_a_problem_or_silence_that_does_not_exist_is_not_found(bob: httpx.AsyncClient) -> None:
    await read(bob, "/problems/9", 404)
    for action in ("/problems/9/take", "/silences/9/end", "/watch/9/acknowledge"):
        await post(bob, "/silences", action, 404)
