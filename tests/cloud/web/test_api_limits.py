"""What the API refuses, how it says so, and what it does not wait for."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from cloud.web import request_timeout
from cloud.web.input_limits import BODY_MAX
from cloud.web.request_timeout import TimedProtocol

HUGE = "168475559768514368252896882982912"
SECRET = "what-was-typed"


def problem_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"]) == ("about:blank", status)
    return body


@pytest.mark.parametrize("change", ["take", "release", "reopen", "wake"])
async def test_a_number_that_fits_no_database_is_not_found(alice: httpx.AsyncClient, change: str) -> None:
    problem_of(await alice.post(f"/api/v1/cases/{HUGE}/{change}", json={}), 404)


@pytest.mark.parametrize(
    "path", [f"/cases/{HUGE}", f"/problems/{HUGE}", "/cases/9223372036854775808", "/knowledge/%00"]
)
async def test_a_page_with_such_a_number_is_not_found(alice: httpx.AsyncClient, path: str) -> None:
    assert (await alice.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/?case=" + HUGE, "/live?after=" + HUGE, "/api/v1/cases?limit=" + HUGE])
async def test_a_query_with_such_a_number_is_refused(alice: httpx.AsyncClient, path: str) -> None:
    assert (await alice.get(path)).status_code == 422


async def test_an_error_names_the_field_and_never_repeats_its_input(
    alice: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    path = f"/api/v1/cases/{numbers['pump-07']}/close"
    answer = await alice.post(path, json={"label": SECRET, "impact_at": SECRET, "note": SECRET * 999})
    errors = problem_of(answer, 422)["errors"]
    assert [error["field"] for error in errors] == ["body.label", "body.impact_at", "body.note"]
    broken = await alice.post(path, content=f'{{"label": {SECRET}', headers={"Content-Type": "application/json"})
    assert [error["message"] for error in problem_of(broken, 422)["errors"]] == ["The body is no JSON."]
    assert SECRET not in answer.text + broken.text


@pytest.mark.parametrize("text", ["\0", "\ud800"])
async def test_text_that_no_database_stores_is_refused(
    alice: httpx.AsyncClient, numbers: dict[str, int], text: str
) -> None:
    content = '{"text": "' + ("\\u0000" if text == "\0" else "\\ud800") + '"}'
    headers = {"Content-Type": "application/json"}
    answer = await alice.post(f"/api/v1/cases/{numbers['pump-07']}/note", content=content, headers=headers)
    problem_of(answer, 422)


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    alice: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    path, sent = f"/api/v1/cases/{numbers['pump-07']}/note", 0

    async def parts() -> Any:
        nonlocal sent
        for _ in range(100):
            sent += BODY_MAX // 4
            yield b"x" * (BODY_MAX // 4)

    problem_of(await alice.post(path, content=b"x" * (BODY_MAX + 1)), 413)
    announced = {"Content-Length": str(30 << 20)}
    problem_of(await alice.post(path, content=parts(), headers=announced), 413)
    assert sent == 0 or sent <= BODY_MAX * 100
    problem_of(await alice.post(path, content=parts()), 413)


async def test_every_operation_of_the_description_has_its_errors(alice: httpx.AsyncClient) -> None:
    described = (await alice.get("/api/openapi.json")).json()["paths"]
    for path, operations in described.items():
        for method, operation in operations.items():
            statuses = set(operation["responses"])
            assert not path.startswith("/api/") or {"401", "422", "429", "500"} <= statuses
            assert method == "get" or {"403", "409", "413"} <= statuses
            assert "{" not in path or "404" in statuses


@pytest.mark.parametrize("start", [b"GET / HT", b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nname"])
async def test_half_a_request_is_not_waited_for_for_ever(
    app: FastAPI, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_timeout, "HEADERS_S", 0.05)
    monkeypatch.setattr(request_timeout, "BODY_S", 0.05)
    config = uvicorn.Config(app, port=0, log_level="error", http=TimedProtocol, timeout_keep_alive=60)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname()[:2])
    writer.write(start)
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            await reader.read()  # until the server closes it
    writer.close()
    server.should_exit = True
    await serving
