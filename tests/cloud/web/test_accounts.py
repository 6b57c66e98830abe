from datetime import timedelta

import pytest
from argon2 import extract_parameters
from sqlalchemy import select

from cloud import accounts
from cloud.accounts import sessions
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
        idle, whole = sessions.DEFAULT_LIMITS.idle, sessions.DEFAULT_LIMITS.whole
        found = await accounts.session_account(session, token, NOW + idle - timedelta(seconds=1))
        assert found is not None
        assert (found.account.name, found.is_stale) == ("alice", True)
        assert await accounts.session_account(session, token, NOW + idle) is None, "not used so long"
        await sessions.touch(session, token, NOW + whole - timedelta(minutes=1))
        assert await accounts.session_account(session, token, NOW + whole - timedelta(seconds=1))
        assert await accounts.session_account(session, token, NOW + whole) is None, "however much it is used"
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
        await accounts.open_session(session, "alice", NOW + sessions.DEFAULT_LIMITS.whole)
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
    assert throttle.wait_s("alice", "10.0.0.1", NOW) == accounts.Throttle.PAIR.longest_s
    assert throttle.wait_s("alice", "10.0.0.2", NOW) == accounts.Throttle.NAME.longest_s, "from anywhere, but shortly"
    for number in range(accounts.Throttle.REMEMBERED // 3 + 1):
        throttle.failed(f"guess-{number}", f"10.1.{number // 256}.{number % 256}", NOW)
    assert throttle.wait_s("alice", "10.0.0.1", NOW) == 0


def test_an_address_that_guesses_many_names_must_wait_and_a_network_of_ipv6_is_one_address() -> None:
    throttle = accounts.Throttle()
    for number in range(26):
        throttle.failed(f"guess-{number}", f"2001:db8::{number:x}", NOW)
    assert throttle.wait_s("alice", "2001:db8::ffff", NOW) == 2
    assert throttle.wait_s("alice", "2001:db8:0:1::1", NOW) == 0
    throttle.failed("guess", "2001:db8::1", NOW + throttle.FORGOTTEN_AFTER)
    assert throttle.wait_s("alice", "2001:db8::1", NOW + throttle.FORGOTTEN_AFTER) == 0, "forgotten after an hour"


def test_whoever_logs_in_does_not_forgive_the_other_failures_of_the_address() -> None:
    throttle = accounts.Throttle()
    for number in range(25):
        throttle.failed(f"guess-{number}", "10.0.0.1", NOW)
    throttle.failed("alice", "10.0.0.1", NOW)
    throttle.succeeded("alice", "10.0.0.1")
    assert throttle.wait_s("alice", "10.0.0.1", NOW) == 0
    throttle.failed("guess", "10.0.0.1", NOW)
    assert throttle.wait_s("alice", "10.0.0.1", NOW) == 2


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
