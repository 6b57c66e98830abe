"""People, their passwords, sessions and tokens, and the log of what they change."""

import re
from datetime import timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import select, update

from cloud.store.database import Database
from cloud.store.people_tables import ApiToken, AuditEntry
from cloud.store.tables import Account, LoginSession
from tests.cloud.web.conftest import NOW, ORIGIN, PASSWORD, logged_in
from tests.cloud.web.test_pages import read, words_of
from tests.cloud.web.test_rule_pages import post

CHOSEN = "a sentence that nobody guesses"


async def entries(database: Database, what: str) -> list[AuditEntry]:
    async with database.read() as session:
        return list(await session.scalars(select(AuditEntry).where(AuditEntry.what == what).order_by(AuditEntry.id)))


def shown(answer: httpx.Response) -> str:
    """The secret that a page shows once."""
    found = re.search(r'<code class="copy">([^<]+)</code>', answer.text)
    assert found
    return found[1]


async def test_somebody_new_logs_in_with_a_one_time_password_and_must_choose_another(
    staffed: Database, dora: httpx.AsyncClient, carol: httpx.AsyncClient
) -> None:
    secret = shown(await post(dora, "/people", "/people", 200, name="carol", role="agent"))
    assert secret not in await read(dora, "/people")
    carol.headers["Origin"] = ORIGIN
    answer = await carol.post("/login", data={"name": "carol", "password": secret, "next": "/devices"})
    assert answer.headers["location"] == "/account"
    assert (await carol.get("/devices")).headers["location"] == "/account"
    assert (await carol.get("/api/v1/cases")).status_code == 403
    for new, again, sentence in (
        ("short", "short", "Choose one with at least 12"),
        ("carol carol carol", "carol carol carol", "contains the name"),
        (CHOSEN, "another sentence", "The two new passwords differ."),
    ):
        refused = await post(carol, "/account", "/account/password", 409, old=secret, new=new, again=again)
        assert sentence in words_of(refused.text)
    await post(carol, "/account", "/account/password", old=secret, new=CHOSEN, again=CHOSEN)
    assert (await carol.get("/devices")).status_code == 200
    assert (await carol.get("/api/v1/cases", auth=("carol", secret))).status_code == 401
    (added,) = await entries(staffed, "people: create")
    assert (added.actor, added.subject, added.after["role"], added.before) == ("dora", "account carol", "agent", {})
    (changed,) = await entries(staffed, "account: password")
    assert (changed.actor, changed.after["password_hash"]) == ("carol", "(secret)")
    async with staffed.read() as session:
        everything = [str((row.before, row.after, row.source)) for row in await session.scalars(select(AuditEntry))]
    assert not any(word in text for text in everything for word in (secret, CHOSEN, PASSWORD, "argon2"))


async def test_a_one_time_password_ends(staffed: Database, dora: httpx.AsyncClient, carol: httpx.AsyncClient) -> None:
    secret = shown(await post(dora, "/people", "/people/alice/password", 200))
    async with staffed.begin() as session:
        await session.execute(update(Account).where(Account.name == "alice").values(password_expires_at=NOW))
    answer = await carol.post("/login", data={"name": "alice", "password": secret})
    assert answer.status_code == 401
    assert "too old. Ask an admin" in words_of(answer.text)


async def test_who_is_disabled_is_out_at_once(
    staffed: Database, dora: httpx.AsyncClient, alice: httpx.AsyncClient, carol: httpx.AsyncClient
) -> None:
    token = shown(await post(alice, "/account", "/account/tokens", 200, name="ci", days="7", scopes="read"))
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await carol.get("/api/v1/cases", headers=bearer)).status_code == 200
    await post(dora, "/people", "/people/alice/disable")
    assert (await alice.get("/devices")).headers["location"].startswith("/login")
    assert (await carol.get("/api/v1/cases", headers=bearer)).status_code == 401
    assert (await carol.get("/api/v1/cases", auth=("alice", PASSWORD))).status_code == 401
    answer = await carol.post("/login", data={"name": "alice", "password": PASSWORD})
    assert "This account is disabled. Ask an admin." in words_of(answer.text)
    await post(dora, "/people", "/people/alice/enable")
    assert (await carol.post("/login", data={"name": "alice", "password": PASSWORD})).status_code == 303


async def test_the_last_admin_stays_one(dora: httpx.AsyncClient) -> None:
    answer = await post(dora, "/people", "/people/dora/role", 409, role="agent")
    assert "dora is the only admin" in words_of(answer.text)
    answer = await post(dora, "/people", "/people/dora/disable", 409)
    assert "can't disable your own account" in words_of(answer.text).replace("&#39;", "'")
    await post(dora, "/people", "/people/bob/role", role="admin")
    await post(dora, "/people", "/people/dora/role", role="viewer")
    assert (await dora.get("/people")).status_code == 403
    assert (await dora.post("/people", data={"name": "x", "role": "admin"})).status_code == 403


async def test_what_can_not_be_meant_is_refused_with_the_reason(dora: httpx.AsyncClient) -> None:
    for name, sentence in (("alice", "There is an account “alice” already"), ("a b", "be a name"), ("", "be a name")):
        answer = await post(dora, "/people", "/people", 409, name=name, role="agent")
        assert sentence in words_of(answer.text)
    await post(dora, "/people", "/people/nobody/role", 404, role="agent")


async def test_sessions_are_ended_by_an_admin_and_by_their_owner(app: FastAPI, dora: httpx.AsyncClient) -> None:
    async with logged_in(app, "alice") as computer, logged_in(app, "alice") as phone:
        await post(computer, "/account", "/account/sessions/end")
        assert (await computer.get("/devices")).status_code == 200
        assert (await phone.get("/devices")).status_code == 303
        await post(dora, "/people", "/people/alice/sessions/end")
        assert (await computer.get("/devices")).status_code == 303


async def test_only_use_by_a_person_keeps_a_session(app: FastAPI, staffed: Database, alice: httpx.AsyncClient) -> None:
    async def last_used(**headers: str) -> Any:
        async with staffed.begin() as session:
            await session.execute(update(LoginSession).values(last_used_at=NOW - timedelta(minutes=5)))
        assert (await alice.get("/devices", headers=headers)).status_code == 200
        async with staffed.read() as session:
            return await session.scalar(select(LoginSession.last_used_at))

    assert await last_used() == NOW
    assert await last_used(**{"Forewarn-Refresh": "live"}) == NOW - timedelta(minutes=5)


async def test_a_token_acts_within_its_scopes_until_it_ends(
    staffed: Database, numbers: dict[str, int], alice: httpx.AsyncClient, carol: httpx.AsyncClient
) -> None:
    answer = await post(alice, "/account", "/account/tokens", 200, name="reader", days="7", scopes="read")
    reading = {"Authorization": f"Bearer {shown(answer)}"}
    answer = await post(alice, "/account", "/account/tokens", 200, name="desk tool", days="7", scopes="cases")
    working = {"Authorization": f"Bearer {shown(answer)}"}
    take = f"/api/v1/cases/{numbers['pump-07']}/take"
    refused = await carol.post(take, headers=reading)
    assert (refused.status_code, "needs the scope cases" in refused.text) == (403, True)
    assert (await carol.post(take, headers=working)).json()["owner"] == "alice"
    assert (await carol.get("/devices", headers=working)).status_code == 303, "pages are for people"
    (taken,) = await entries(staffed, "cases: take")
    assert (taken.actor, taken.source[:19]) == ("alice", "token 2 (desk tool)")
    assert (taken.before["owner"], taken.after["owner"]) == (None, "alice")
    async with staffed.read() as session:
        rows = {row.name: row for row in await session.scalars(select(ApiToken))}
    assert rows["desk tool"].last_used_at == NOW
    assert shown(answer) not in str([vars(row) for row in rows.values()])
    await post(alice, "/account", "/account/tokens/2/revoke")
    assert (await carol.get("/api/v1/cases", headers=working)).status_code == 401
    async with staffed.begin() as session:
        await session.execute(update(ApiToken).where(ApiToken.id == 1).values(expires_at=NOW))
    assert (await carol.get("/api/v1/cases", headers=reading)).status_code == 401


async def test_a_token_is_never_for_more_than_its_maker_may(
    alice: httpx.AsyncClient, bob: httpx.AsyncClient, dora: httpx.AsyncClient
) -> None:
    for fields, sentence in (
        ({"name": "x", "days": "7", "scopes": "admin"}, "Your role does not have the scope admin"),
        ({"name": "x", "days": "0", "scopes": "read"}, "Choose 1 to 366"),
        ({"name": "x", "days": "7"}, "No scope is chosen"),
        ({"name": " ", "days": "7", "scopes": "read"}, "The name is empty"),
    ):
        answer = await post(alice, "/account", "/account/tokens", 409, **fields)
        assert sentence in words_of(answer.text)
    await post(alice, "/account", "/account/tokens", 200, name="mine", days="7", scopes="read")
    await post(bob, "/account", "/account/tokens/1/revoke", 404)
    assert "mine" in await read(dora, "/tokens")
    await post(dora, "/tokens", "/tokens/1/revoke")
    assert "Revoked by dora" in words_of(await read(alice, "/account"))


async def test_changes_are_audited_with_before_and_after_in_their_own_transaction(
    staffed: Database, numbers: dict[str, int], bob: httpx.AsyncClient
) -> None:
    number = numbers["pump-07"]
    await post(bob, f"/cases/{number}", f"/cases/{number}/note", text="called the customer")
    await post(bob, "/knowledge/disk.filling", "/knowledge/disk.filling", version="0", what="A full disk.")
    silence = {"device": "kiln-1", "reason": "swap", "zone": "UTC", "ends": "2026-07-01T18:00"}
    await post(bob, "/silences", "/silences", **silence)
    await post(bob, "/silences", "/silences", 409, **silence | {"zone": "Mars"})
    (note,) = await entries(staffed, "cases: note")
    assert (note.subject, "called the customer" in str(note.after["timeline"])) == (f"case {number}", True)
    (edit,) = await entries(staffed, "knowledge: edit")
    assert (edit.after["what"], edit.before["what"] != "", edit.subject) == (
        "A full disk.",
        True,
        "article disk.filling",
    )
    (created,) = await entries(staffed, "silences: create")
    assert (created.subject, created.before, created.after["device"]) == ("silence 1", {}, "kiln-1")
    await post(bob, "/inventory/customer", "/inventory/customer", version="0", name="Acme", contact="Ann")
    (customer,) = await entries(staffed, "inventory: customer")
    assert (customer.subject, customer.after["contact"]) == ("customer Acme", "Ann")
    page = words_of(await read(bob, "/audit?subject=case"))
    assert f"Case {number}" in page
    assert "silence" not in page.split("From")[1]


async def test_logins_and_refused_logins_are_audited_without_what_was_typed(
    staffed: Database, alice: httpx.AsyncClient, carol: httpx.AsyncClient
) -> None:
    await carol.post("/login", data={"name": "alice", "password": "guess one"})
    await carol.post("/login", data={"name": "my secret in the wrong field", "password": "guess two"})
    refused = await entries(staffed, "login refused")
    assert [(entry.actor, entry.subject) for entry in refused] == [("alice", "account alice"), ("", "unknown account")]
    (login,) = await entries(staffed, "login")
    assert (login.actor, login.source) == ("alice", "console, 127.0.0.1")


async def test_the_api_lists_the_audit_log_page_by_page(bob: httpx.AsyncClient, alice: httpx.AsyncClient) -> None:
    for _ in range(3):
        await bob.post("/login", data={"name": "bob", "password": "wrong"})
    first = (await bob.get("/api/v1/audit?limit=3&actor=bob")).json()
    rest = (await bob.get(f"/api/v1/audit?limit=3&actor=bob&before={first['next_before']}")).json()
    whats = [entry["what"] for entry in first["entries"] + rest["entries"]]
    assert (whats, rest["next_before"]) == (["login refused"] * 3 + ["login"], None)
    assert (await bob.get("/audit?day=tomorrow")).status_code == 400
    assert (await bob.get("/api/v1/audit?before=999999999999999999999")).status_code == 422
    assert (await alice.get("/api/v1/audit")).status_code == 403
