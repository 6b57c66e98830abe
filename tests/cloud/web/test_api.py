from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from cloud.ingest import DropReason
from cloud.store.database import Database
from cloud.store.tables import DeadLetter, LossRow
from tests.cloud.web.conftest import NOW, ORIGIN, PASSWORD

PATHS = (
    "/api/v1/cases",
    "/api/v1/cases/1",
    "/api/v1/evidence/x",
    "/api/v1/devices",
    "/api/v1/dead-letters",
    "/api/v1/losses",
    "/api/v1/ingest",
    "/api/openapi.json",
)
CHANGES = ("take", "release", "close", "reopen", "note")


async def ask(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_health_needs_no_login_and_checks_the_database(carol: httpx.AsyncClient) -> None:
    assert await ask(carol, "/healthz") == {"status": "ok"}


@pytest.mark.parametrize("path", PATHS)
async def test_everything_else_needs_a_login(carol: httpx.AsyncClient, path: str) -> None:
    answer = await carol.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("change", CHANGES)
async def test_outsiders_change_nothing(carol: httpx.AsyncClient, numbers: dict[str, int], change: str) -> None:
    answer = await carol.post(f"/api/v1/cases/{numbers['pump-07']}/{change}", json={"label": "expected", "text": "x"})
    assert answer.status_code == 401


async def test_basic_login_works_and_guessing_is_slowed_down(carol: httpx.AsyncClient) -> None:
    assert (await carol.get("/api/v1/cases", auth=("alice", PASSWORD))).status_code == 200
    statuses = [(await carol.get("/api/v1/cases", auth=("alice", "wrong"))).status_code for _ in range(7)]
    assert statuses == [401, 401, 401, 401, 401, 401, 429]
    throttled = await carol.get("/api/v1/cases", auth=("alice", PASSWORD))
    assert throttled.status_code == 429
    assert int(throttled.headers["retry-after"]) >= 1


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic YWxpY2U=", "Bearer YWxpY2U6eA==", "Basic /////w=="])
async def test_a_broken_authorization_header_is_refused(carol: httpx.AsyncClient, header: str) -> None:
    assert (await carol.get("/api/v1/cases", headers={"Authorization": header})).status_code == 401


async def test_cases_come_in_the_order_in_which_they_should_be_taken(
    alice: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    listed = await ask(alice, "/api/v1/cases")
    assert [case["device"] for case in listed["cases"]] == [
        "gateway-03",  # critical, with 5 min left
        "press-12",  # critical, wrong already
        "pump-07",  # high
        "pump-11",  # warning, in 15 h
        "kiln-02",  # warning without a time, newer
        "meter-21",  # the same, older
    ]
    first = listed["cases"][2]
    assert first["number"] == numbers["pump-07"]
    assert first["faults"] == ["disk.filling"]
    assert first["impact_at"] == (NOW + timedelta(seconds=11_800 - 1_500)).isoformat().replace("+00:00", "Z")
    closed = await ask(alice, "/api/v1/cases?state=closed")
    assert [(case["device"], case["label"]) for case in closed["cases"]] == [("pump-02", "true_fault")]
    assert (await ask(alice, "/api/v1/cases?state=all&limit=2"))["total"] == 7
    assert (await alice.get("/api/v1/cases?state=lost")).status_code == 422


async def test_a_case_has_its_episodes_timeline_and_evidence(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    case = await ask(alice, f"/api/v1/cases/{numbers['pump-07']}")
    assert [episode["fault"] for episode in case["episodes"]] == ["disk.filling"]
    assert case["episodes"][0]["reasons"][0]["decision"] == "opened"
    assert case["timeline"][0]["kind"] == "opened"
    assert case["evidence"] == [case["episodes"][0]["evidence_id"]]
    halves = (await ask(alice, f"/api/v1/evidence/{case['evidence'][0]}"))["parts"]
    assert [half["part"] for half in halves] == ["before", "after"]
    assert all(half["intact"] for half in halves)
    assert datetime.fromisoformat(halves[0]["detected_at"]) == NOW - timedelta(seconds=1500)
    assert halves[0]["body"]["series"][0]["role"] == "judged"


async def test_what_does_not_exist_is_404(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    assert (await alice.get("/api/v1/cases/99")).json()["detail"] == "There is no case 99."
    assert (await alice.get("/api/v1/evidence/x")).status_code == 404
    assert (await alice.post("/api/v1/cases/99/take")).status_code == 404


async def test_devices_with_open_cases_come_first(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    devices = (await ask(alice, "/api/v1/devices"))["devices"]
    assert [device["open_cases"] for device in devices] == [1, 1, 1, 1, 1, 1, 0]
    assert devices[-1]["device"] == "pump-02"
    assert devices[-1]["presence"] == "offline"
    assert devices[-2] | {"customer": "Northfield Water", "site": "Harbour", "metrics": 42} == devices[-2]


async def test_dead_lettered_messages_and_losses_are_shown(alice: httpx.AsyncClient, staffed: Database) -> None:
    async with staffed.begin() as session:
        session.add(DeadLetter(received_at=NOW, topic="forewarn/v1/x/findings", cause="v: 2 is not 1", payload=b"{}"))
        session.add(
            LossRow(
                device="pump-07", lane="telemetry", stream="s", first_seq=3, last_seq=9, reason="cut", declared_at=NOW
            )
        )
    letters = (await ask(alice, "/api/v1/dead-letters"))["dead_letters"]
    assert [(item["topic"], item["cause"], item["size"]) for item in letters] == [
        ("forewarn/v1/x/findings", "v: 2 is not 1", 2)
    ]
    losses = (await ask(alice, "/api/v1/losses"))["losses"]
    assert [(loss["first_seq"], loss["last_seq"], loss["reason"]) for loss in losses] == [(3, 9, "cut")]


async def test_a_case_goes_through_the_hands_of_staff(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    path = f"/api/v1/cases/{numbers['pump-07']}"
    taken = (await alice.post(f"{path}/take")).json()
    assert (taken["owner"], taken["state"]) == ("alice", "open")
    await alice.post(f"{path}/note", json={"text": "Called the customer."})
    assert (await alice.post(f"{path}/release")).json()["owner"] is None
    closed = (await alice.post(f"{path}/close", json={"label": "expected", "note": "backup"})).json()
    assert (closed["state"], closed["label"]) == ("closed", "expected")
    reopened = (await alice.post(f"{path}/reopen", json={"reason": "backup is over, it still grows"})).json()
    assert (reopened["state"], reopened["label"]) == ("new", None)
    kinds = [entry["kind"] for entry in reopened["timeline"] if entry["actor"] == "alice"]
    assert kinds == ["taken", "note", "released", "closed", "reopened"]


async def test_a_refused_change_gives_the_reason(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    answer = await alice.post(f"/api/v1/cases/{numbers['pump-11']}/take")
    assert answer.status_code == 409
    assert "bob" in answer.json()["detail"]
    assert (await alice.post(f"/api/v1/cases/{numbers['pump-07']}/close", json={"label": "boring"})).status_code == 422


@pytest.mark.parametrize("origin", [None, "http://evil.test", "null"])
async def test_a_change_with_a_cookie_must_come_from_our_own_pages(
    alice: httpx.AsyncClient, numbers: dict[str, int], origin: str | None
) -> None:
    alice.headers.pop("origin")
    headers = {"Origin": origin} if origin else {}
    answer = await alice.post(f"/api/v1/cases/{numbers['pump-07']}/take", headers=headers)
    assert answer.status_code == 403
    assert (await ask(alice, f"/api/v1/cases/{numbers['pump-07']}"))["owner"] is None


async def test_the_description_names_every_path_of_the_api(alice: httpx.AsyncClient, app: FastAPI) -> None:
    described = (await ask(alice, "/api/openapi.json"))["paths"]
    assert {f"/api/v1/cases/{{number}}/{change}" for change in CHANGES} < set(described)
    assert "/healthz" in described
    assert "/login" not in described, "pages are for people"


async def test_every_answer_is_guarded(alice: httpx.AsyncClient) -> None:
    for path in ("/", "/healthz", "/api/v1/cases", "/static/console.css", "/nowhere"):
        headers = (await alice.get(path)).headers
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


async def test_basic_login_needs_no_origin(carol: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    path = f"{ORIGIN}/api/v1/cases/{numbers['pump-07']}/take"
    assert (await carol.post(path, auth=("bob", PASSWORD))).json()["owner"] == "bob"


async def test_what_came_in_is_counted(alice: httpx.AsyncClient, app: FastAPI) -> None:
    counters = app.state.console.counters
    counters.committed, counters.dead_lettered = 7, 2
    counters.drop("loud", DropReason.TOO_FAST)
    assert await ask(alice, "/api/v1/ingest") == {"taken": 7, "dead_lettered": 2, "dropped": {"device_too_fast": 1}}
