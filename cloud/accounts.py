"""Who may log in: accounts with argon2 hashes, login sessions, and a brake for guessers.

What flows in: names, passwords and cookie tokens. What flows out: accounts, or None. A token is random and is
kept only as its SHA-256, so a stolen database holds nothing that logs in.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.tables import Account, LoginSession

SESSION_LASTS = timedelta(hours=12)
FIRST_ACCOUNT = "admin"
AGENT, SUPERVISOR = "agent", "supervisor"  # roles: a supervisor decides on what concerns everybody

_HASHER = PasswordHasher()  # argon2id with the library's parameters, RFC 9106's low-memory recommendation
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))  # what an unknown name is checked against: same cost, never true
# Each check takes 64 MiB for a moment: a flood of logins waits for two threads instead of taking all memory.
_HASHING = ThreadPoolExecutor(max_workers=2, thread_name_prefix="password")


async def first_account(session: AsyncSession, now: datetime, password: str | None = None) -> str | None:
    """Create the account `admin` if there is none at all; return its password, else None.

    A given password becomes admin's at every start: whoever lost it puts another into the file.
    """
    if await session.scalar(select(func.count()).select_from(Account)):
        admin = await session.get(Account, FIRST_ACCOUNT)
        if admin and password and not await fits(admin, password):
            admin.password_hash = await _hash(password)
        return None
    password = password or secrets.token_urlsafe(15)
    await add_account(session, FIRST_ACCOUNT, password, now, SUPERVISOR)
    return password


async def add_account(session: AsyncSession, name: str, password: str, now: datetime, role: str = AGENT) -> None:
    """Create an account; the password is hashed off the event loop."""
    session.add(Account(name=name, password_hash=await _hash(password), role=role, created_at=now))
    await session.flush()


async def _hash(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _HASHER.hash, password)


async def fits(account: Account | None, password: str) -> bool:
    """Say whether this is the account's password. No account costs the time of a wrong password.

    Call it outside of any database session: a flood of logins waits here, and must not hold connections meanwhile.
    """
    hashed = account.password_hash if account else _NOBODY
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _matches, hashed, password)


def _matches(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except VerificationError:
        return False


async def open_session(session: AsyncSession, account: str, now: datetime) -> str:
    """Start a login of 12 hours; return the token for the cookie. Logins that are over are swept out."""
    await session.execute(delete(LoginSession).where(LoginSession.expires_at <= now))
    token = secrets.token_urlsafe(32)
    session.add(
        LoginSession(token_hash=_digest(token), account=account, created_at=now, expires_at=now + SESSION_LASTS)
    )
    return token


async def session_account(session: AsyncSession, token: str, now: datetime) -> Account | None:
    """Return whose login this token is, unless it is unknown or over."""
    query = (
        select(Account)
        .join(LoginSession, LoginSession.account == Account.name)
        .where(LoginSession.token_hash == _digest(token), LoginSession.expires_at > now)
    )
    return (await session.scalars(query)).one_or_none()


async def end_session(session: AsyncSession, token: str) -> None:
    """Log out: the token is worth nothing from now on."""
    await session.execute(delete(LoginSession).where(LoginSession.token_hash == _digest(token)))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def form_token(token: str) -> str:
    """Return the token that a login's forms carry: bound to the login, and not its cookie."""
    return hashlib.sha256(b"forewarn form:" + token.encode()).hexdigest()


@dataclass(slots=True)
class _Failures:
    count: int
    until: datetime


class Throttle:
    """Slows guessing down: after five failures the next attempt must wait 2 s, 4 s, 8 s ... up to 5 min.

    It counts a name at an address, so a guesser elsewhere can't lock Alice out. It forgets with the process.
    """

    FREE = 5
    LONGEST_S = 300.0
    REMEMBERED = 10_000

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def wait_s(self, name: str, address: str, now: datetime) -> float:
        """Return how many seconds this name at this address must still wait; 0 when it may try."""
        known = self._failures.get((name, address))
        return max(0.0, (known.until - now).total_seconds()) if known else 0.0

    def failed(self, name: str, address: str, now: datetime) -> None:
        """Count a wrong password."""
        known = self._failures.pop((name, address), None)
        count = known.count + 1 if known else 1
        delay = min(2.0 ** (count - self.FREE), self.LONGEST_S) if count > self.FREE else 0.0
        self._failures[name, address] = _Failures(count, now + timedelta(seconds=delay))
        while len(self._failures) > self.REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of somebody who has proved to be themselves."""
        self._failures.pop((name, address), None)


class RecentPasswords:
    """Remembers for a minute that a password was right, so that a script does not pay for argon2 at each call.

    It keeps a keyed hash of name, password and stored hash: a changed password is another key.
    """

    LASTS = timedelta(minutes=1)

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, datetime] = {}

    def knows(self, account: Account, password: str, now: datetime) -> bool:
        """Say whether this password was right less than a minute ago."""
        return self._known.get(self._digest(account, password), now) > now

    def add(self, account: Account, password: str, now: datetime) -> None:
        """Remember a right password; forget what is over."""
        self._known = {digest: until for digest, until in self._known.items() if until > now}
        self._known[self._digest(account, password)] = now + self.LASTS

    def _digest(self, account: Account, password: str) -> bytes:
        text = "\0".join((account.name, account.password_hash, password))
        return hmac.digest(self._key, text.encode(), hashlib.sha256)
