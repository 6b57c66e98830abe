"""The REST API of problems, silences, the watch list and the further actions on a case."""

from typing import Any

import httpx
import pytest

from cloud.case_service import CaseService
from cloud.store.database import Database
from edge_agent.protocol.faults import Severity
from tests.cloud.web.test_rule_pages import a_storm, report


async def ask(client: httpx.AsyncClient, method: str, path: str, status: int = 200, **body: Any) -> Any:
    answer = await client.request(method, f"/api/v1{path}", json=body or None)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


@pytest.mark.parametrize("path", ["/problems", "/silences", "/watch-list"])
async def test_the_lists_are_for_staff_only(carol: httpx.AsyncClient, path: str) -> None:
    assert (await carol.get(f"/api/v1{path}")).status_code == 401


async def test_a_storm_is_listed_as_one_problem(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await a_storm(staffed, case_service)
    (problem,) = (await ask(alice, "GET", "/problems"))["problems"]
    assert (problem["scope"], problem["value"], problem["open_cases"]) == ("firmware", "fw-9", 4)
    await ask(alice, "POST", "/cases/1/unlink", reason="another cause")
    assert (await ask(alice, "GET", "/problems"))["problems"][0]["cases"] == 3


async def test_a_problem_is_taken_announced_and_closed(
    staffed: Database, case_service: CaseService, bob: httpx.AsyncClient
) -> None:
    await a_storm(staffed, case_service)
    await ask(bob, "POST", "/problems/1/take", 204)
    await ask(bob, "POST", "/problems/1/announce", 204, text="Roll firmware 9 back.")
    await ask(bob, "POST", "/problems/1/close", 204, label="true_fault")
    await ask(bob, "POST", "/problems/1/take", 409)
    await ask(bob, "POST", "/problems/9/take", 404)
    (problem,) = (await ask(bob, "GET", "/problems"))["problems"]
    assert (problem["state"], problem["owner"], problem["open_cases"]) == ("closed", "bob", 0)
    assert problem["announcement"] == "Roll firmware 9 back."


async def test_a_silence_is_created_listed_and_ended(
    staffed: Database, case_service: CaseService, bob: httpx.AsyncClient
) -> None:
    body = {"reason": "swap", "zone": "Europe/Berlin", "device": "kiln-1", "ends_at": "2026-07-01T18:00:00+02:00"}
    assert await ask(bob, "POST", "/silences", 201, **body) == {"number": 1}
    await report(staffed, case_service, "kiln-1", minutes_ago=0)
    (silence,) = (await ask(bob, "GET", "/silences"))["silences"]
    assert (silence["active"], silence["suppressed"], silence["owner"]) == (True, [1], "bob")
    await ask(bob, "POST", "/silences/1/end")
    await ask(bob, "POST", "/silences/1/end", 409)
    await ask(bob, "POST", "/silences/7/end", 404)
    await ask(bob, "POST", "/silences", 409, **body | {"zone": "Nowhere"})
    await ask(bob, "POST", "/silences", 422, **body | {"ends_at": "2026-07-01T18:00:00"})


async def test_information_is_on_the_watch_list(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await report(staffed, case_service, "kiln-1", fault="disk.slow", severity=Severity.INFO)
    (watched,) = (await ask(alice, "GET", "/watch-list?device=kiln-1"))["episodes"]
    assert (watched["fault"], watched["case_number"]) == ("disk.slow", None)
    assert (await ask(alice, "GET", "/watch-list?device=kiln-2"))["episodes"] == []


async def test_a_case_is_handed_over_and_snoozed(
    staffed: Database, case_service: CaseService, alice: httpx.AsyncClient
) -> None:
    await report(staffed, case_service, "kiln-1")
    await ask(alice, "POST", "/cases/1/hand-over", 409, to="bob", note="yours")
    await ask(alice, "POST", "/cases/1/take")
    case = await ask(alice, "POST", "/cases/1/hand-over", to="bob", note="yours")
    assert (case["owner"], case["first_owner"]) == ("bob", "alice")
    case = await ask(alice, "POST", "/cases/1/snooze", until="2026-07-02T12:00:00Z", note="")
    assert (case["state"], case["reminder_at"]) == ("pending_reminder", "2026-07-02T12:00:00Z")
    assert (await ask(alice, "POST", "/cases/1/wake"))["state"] == "open"
    await ask(alice, "POST", "/cases/1/merge", 409, into=1)
    await ask(alice, "POST", "/cases/1/unmerge", 409, reason="why")
