"""Login sessions: kept by the server, so that they end when they shall.

A session ends when it was not used for a while, at the latest after its whole time, at logout, when its person is
disabled, and when somebody ends it. The cookie's token is random and only its SHA-256 is kept, so a stolen database
holds nothing that logs in.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.tables import Account, LoginSession

TOUCH_EVERY = timedelta(minutes=1)  # a use is written down no more often


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a login lasts: without being used, and at the most."""

    idle: timedelta = timedelta(hours=2)
    whole: timedelta = timedelta(hours=12)


DEFAULT_LIMITS = SessionLimits()


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """Whose session it is, and whether its use should be written down."""

    account: Account
    is_stale: bool


async def open_session(
    session: AsyncSession, account: str, now: datetime, limits: SessionLimits = DEFAULT_LIMITS, address: str = ""
) -> str:
    """Start a login; return the token for the cookie. Logins that are over are swept out."""
    over = or_(LoginSession.expires_at <= now, LoginSession.last_used_at <= now - limits.idle)
    await session.execute(delete(LoginSession).where(over))
    token = secrets.token_urlsafe(32)
    session.add(
        LoginSession(
            token_hash=digest(token),
            account=account,
            created_at=now,
            last_used_at=now,
            expires_at=now + limits.whole,
            address=address,
        )
    )
    return token


async def session_account(
    session: AsyncSession, token: str, now: datetime, limits: SessionLimits = DEFAULT_LIMITS
) -> LoggedIn | None:
    """Return whose login this token is, unless it is unknown or over."""
    query = (
        select(Account, LoginSession.last_used_at)
        .join(LoginSession, LoginSession.account == Account.name)
        .where(
            LoginSession.token_hash == digest(token),
            LoginSession.expires_at > now,
            LoginSession.last_used_at > now - limits.idle,
            Account.disabled_at.is_(None),
        )
    )
    row = (await session.execute(query)).one_or_none()
    return LoggedIn(row[0], now - row[1] >= TOUCH_EVERY) if row else None


async def touch(session: AsyncSession, token: str, now: datetime) -> None:
    """Write down that a session is in use."""
    row = LoginSession
    used = update(row).where(row.token_hash == digest(token), row.last_used_at < now).values(last_used_at=now)
    await session.execute(used)


async def end_session(session: AsyncSession, token: str) -> None:
    """Log out: the token is worth nothing from now on."""
    await session.execute(delete(LoginSession).where(LoginSession.token_hash == digest(token)))


async def end_sessions(session: AsyncSession, name: str, but: str = "") -> int:
    """End all sessions of an account, `but` the one with this token; return how many there were."""
    theirs = delete(LoginSession).where(LoginSession.account == name, LoginSession.token_hash != digest(but))
    result = await session.execute(theirs)
    assert isinstance(result, CursorResult)
    return result.rowcount


def digest(token: str) -> str:
    """Return what is kept of a random token."""
    return hashlib.sha256(token.encode()).hexdigest()


def form_token(token: str) -> str:
    """Return the token that a login's forms carry: bound to the login, and not its cookie."""
    return hashlib.sha256(b"forewarn form:" + token.encode()).hexdigest()
