from datetime import timedelta

import pytest
from argon2 import extract_parameters
from sqlalchemy import select

from cloud import accounts
from cloud.store.database import Database
from cloud.store.tables import Account, LoginSession
from tests.cloud.web.conftest import NOW, PASSWORD


async def test_the_first_account_is_made_once_and_its_password_works(database: Database) -> None:
    async with database.begin() as session:
        password = await accounts.first_account(session, NOW)
    assert password is not None
    async with database.begin() as session:
        assert await accounts.first_account(session, NOW) is None
        admin = await session.get(Account, "admin")
    assert await accounts.fits(admin, password)
    assert not await accounts.fits(admin, "another")


async def test_a_given_password_is_admins_at_the_first_start_and_at_every_later_one(database: Database) -> None:
    async with database.begin() as session:
        assert await accounts.first_account(session, NOW, "given by the operator") == "given by the operator"
    async with database.begin() as session:
        assert await accounts.first_account(session, NOW, "another after it was lost") is None
    async with database.read() as session:
        assert await accounts.fits(await session.get(Account, "admin"), "another after it was lost")


async def test_an_unknown_name_is_checked_at_the_cost_of_a_wrong_password(staffed: Database) -> None:
    async with staffed.read() as session:
        alice = await session.get(Account, "alice")
    assert alice is not None
    assert extract_parameters(accounts._NOBODY) == extract_parameters(alice.password_hash)
    assert not await accounts.fits(None, "wrong")
    assert not await accounts.fits(alice, "wrong")


async def test_a_login_ends_after_its_time_and_at_logout(staffed: Database) -> None:
    async with staffed.begin() as session:
        token = await accounts.open_session(session, "alice", NOW)
        other = await accounts.open_session(session, "bob", NOW)
    async with staffed.begin() as session:
        just_before = NOW + accounts.SESSION_LASTS - timedelta(seconds=1)
        account = await accounts.session_account(session, token, just_before)
        assert account is not None
        assert account.name == "alice"
        assert await accounts.session_account(session, token, NOW + accounts.SESSION_LASTS) is None
        await accounts.end_session(session, token)
        assert await accounts.session_account(session, token, NOW) is None
        assert await accounts.session_account(session, other, NOW) is not None


async def test_the_database_holds_neither_passwords_nor_tokens(staffed: Database) -> None:
    async with staffed.begin() as session:
        token = await accounts.open_session(session, "alice", NOW)
    async with staffed.read() as session:
        rows = (await session.scalars(select(LoginSession))).all()
        hashes = (await session.scalars(select(Account.password_hash))).all()
    assert all(token not in row.token_hash for row in rows)
    assert all(PASSWORD not in hashed and hashed.startswith("$argon2id$") for hashed in hashes)


async def test_logins_that_are_over_are_swept_out_at_the_next_login(staffed: Database) -> None:
    async with staffed.begin() as session:
        await accounts.open_session(session, "alice", NOW)
        await accounts.open_session(session, "alice", NOW + 2 * accounts.SESSION_LASTS)
    async with staffed.read() as session:
        assert len((await session.scalars(select(LoginSession))).all()) == 1


def test_after_five_failures_each_further_one_doubles_the_wait() -> None:
    throttle = accounts.Throttle()
    waits = []
    for _ in range(8):
        throttle.failed("alice", "10.0.0.1", NOW)
        waits.append(throttle.wait_s("alice", "10.0.0.1", NOW))
    assert waits == [0, 0, 0, 0, 0, 2, 4, 8]
    assert throttle.wait_s("alice", "10.0.0.2", NOW) == 0, "somebody else's failures do not lock Alice out"
    assert throttle.wait_s("alice", "10.0.0.1", NOW + timedelta(seconds=8)) == 0
    throttle.succeeded("alice", "10.0.0.1")
    throttle.failed("alice", "10.0.0.1", NOW)
    assert throttle.wait_s("alice", "10.0.0.1", NOW) == 0


def test_the_wait_has_an_end_and_so_has_the_memory_of_failures() -> None:
    throttle = accounts.Throttle()
    for _ in range(60):
        throttle.failed("alice", "10.0.0.1", NOW)
    assert throttle.wait_s("alice", "10.0.0.1", NOW) == accounts.Throttle.LONGEST_S
    for number in range(accounts.Throttle.REMEMBERED):
        throttle.failed(f"guess-{number}", "10.0.0.1", NOW)
    assert throttle.wait_s("alice", "10.0.0.1", NOW) == 0


@pytest.mark.parametrize(
    ("password", "after_s", "known"), [(PASSWORD, 59, True), (PASSWORD, 61, False), ("x", 0, False)]
)
def test_a_right_password_is_remembered_for_a_minute(password: str, after_s: float, known: bool) -> None:
    alice = Account(name="alice", password_hash="stored", created_at=NOW)
    recent = accounts.RecentPasswords()
    recent.add(alice, PASSWORD, NOW)
    assert recent.knows(alice, password, NOW + timedelta(seconds=after_s)) is known
    changed = Account(name="alice", password_hash="changed", created_at=NOW)
    assert not recent.knows(changed, password, NOW)
