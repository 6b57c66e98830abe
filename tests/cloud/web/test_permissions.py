"""Every page, action and endpoint, asked for by every role: what happens is what the table says."""

import re

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from cloud.accounts import PERMISSIONS, Permission, Role
from cloud.change_signal import ChangeSignal
from cloud.web.app import ROUTERS
from cloud.web.permissions import TABLE, check_complete, operations
from tests.cloud.web.conftest import ROLES, form_token, logged_in

OPERATIONS = list(operations(ROUTERS))
NAMES = {Role(role): name for name, role in ROLES.items()}
PLACES = {"fault": "disk.filling", "name": "nobody", "evidence_id": "none", "format": "json", "decision": "approve"}


def address(route: APIRoute) -> str:
    """An address of the route; the things that it names do not exist."""
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: PLACES.get(found[1], "987654"), route.path)


def test_the_table_names_exactly_what_is_served() -> None:
    check_complete(ROUTERS)
    assert TABLE.keys() == {operation for operation, _ in OPERATIONS}


def test_a_route_that_the_table_does_not_name_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TABLE, "GET /people")
    with pytest.raises(RuntimeError, match="GET /people"):
        check_complete(ROUTERS)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", Role)
async def test_a_role_may_do_what_the_table_says_and_nothing_else(
    app: FastAPI, change_signal: ChangeSignal, role: Role
) -> None:
    change_signal.close()  # so that the live stream ends at once
    async with logged_in(app, NAMES[role]) as client:
        token = form_token((await client.get("/")).text)
        for operation, route in OPERATIONS:
            if operation == "POST /logout":
                continue
            method = operation.split()[0]
            answer = await client.request(
                method, address(route), data={"form_token": token} if method != "GET" else None
            )
            refused = answer.status_code in (401, 403) or "/login" in answer.headers.get("location", "")
            assert refused is (TABLE[operation] not in PERMISSIONS[role]), f"{role}: {operation}: {answer.status_code}"
        assert (await client.post("/logout", data={"form_token": token})).status_code == 303


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_who_is_not_logged_in_may_do_what_is_public_only(carol: httpx.AsyncClient) -> None:
    for operation, route in OPERATIONS:
        answer = await carol.request(operation.split()[0], address(route))
        refused = answer.status_code == 401 or answer.headers.get("location", "").startswith("/login")
        assert refused is (TABLE[operation] is not Permission.PUBLIC), f"{operation}: {answer.status_code}"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", Role)
async def test_what_a_role_may_not_do_is_not_offered(app: FastAPI, numbers: dict[str, int], role: Role) -> None:
    pages = ["/", *(f"/cases/{number}" for number in numbers.values())]
    pages += ["/silences", "/sensitivity", "/knowledge/disk.filling", "/watch", "/problems", "/account", "/devices"]
    patterns = {operation: re.compile(re.sub(r"\{[^}]+\}", "[^/]+", route.path)) for operation, route in OPERATIONS}
    offered = set()
    async with logged_in(app, NAMES[role]) as client:
        for page in pages:
            html = (await client.get(page)).text
            targets = [("POST", each) for each in re.findall(r'<form[^>]* method="post" action="([^"]+)"', html)]
            targets += [("GET", each) for each in re.findall(r'<a[^>]* href="(/[^"#?]*)', html)]
            offered |= {
                operation
                for method, target in targets
                for operation, pattern in patterns.items()
                if operation.startswith(f"{method} ") and pattern.fullmatch(target)
            }
    assert {operation for operation in offered if TABLE[operation] not in PERMISSIONS[role]} == set()
    assert ("POST /cases/{number}/take" in offered) is (role is not Role.VIEWER)
    assert ("POST /silences" in offered) is (role in (Role.SUPERVISOR, Role.ADMIN))
    assert ("GET /people" in offered) is (role is Role.ADMIN)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_refusal_names_the_role_that_is_needed(alice: httpx.AsyncClient) -> None:
    answer = await alice.get("/people")
    assert answer.status_code == 403
    assert "Your role is agent. This needs the role admin" in answer.text
