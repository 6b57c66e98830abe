"""People: who may log in, and what admins do with their accounts.

What flows in: names, roles and passwords. What flows out: accounts, or Refused with a sentence for the person.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.accounts.passwords import check_chosen, fits, hashed
from cloud.accounts.roles import Role
from cloud.accounts.sessions import end_sessions
from cloud.cases.cases import Refused
from cloud.store.tables import Account, LoginSession

FIRST_ACCOUNT = "admin"
ONE_TIME_LASTS = timedelta(days=3)  # for a one-time password to be used and replaced
_NAME = re.compile(r"[\w][\w.@+-]{0,63}")


async def first_account(session: AsyncSession, now: datetime, password: str | None = None) -> str | None:
    """Create the account `admin` if there is none at all; return its password, else None.

    A given password becomes admin's at every start: whoever lost it puts another into the file.
    """
    if await session.scalar(select(func.count()).select_from(Account)):
        admin = await session.get(Account, FIRST_ACCOUNT)
        if admin and password and not await fits(admin, password):
            admin.password_hash, admin.must_change, admin.password_expires_at = await hashed(password), False, None
        return None
    password = password or secrets.token_urlsafe(15)
    await add_account(session, FIRST_ACCOUNT, password, now, Role.ADMIN)
    return password


async def add_account(session: AsyncSession, name: str, password: str, now: datetime, role: str = Role.AGENT) -> None:
    """Create an account; the password is hashed off the event loop."""
    session.add(Account(name=name, password_hash=await hashed(password), role=role, created_at=now))
    await session.flush()


async def add_person(session: AsyncSession, name: str, role: Role, now: datetime) -> str:
    """Create an account with a one-time password, which is returned. Raises Refused."""
    name = check_name(name)
    if await session.get(Account, name):
        raise Refused(f"There is an account “{name}” already. Choose another name.")
    password, until = _one_time(now)
    session.add(
        Account(
            name=name,
            password_hash=await hashed(password),
            role=role,
            created_at=now,
            must_change=True,
            password_expires_at=until,
        )
    )
    await session.flush()
    return password


def check_name(name: str) -> str:
    """Return a name that an account can have. Raises Refused."""
    name = name.strip()
    if not _NAME.fullmatch(name) or name == "forewarn":
        raise Refused(f"“{name[:64]}” can't be a name. Use 1 to 64 letters, digits and . @ + - _, and not “forewarn”.")
    return name


async def reset_password(session: AsyncSession, name: str, now: datetime) -> str:
    """Give somebody another one-time password, and end their sessions. Raises LookupError or Refused."""
    account = await account_row(session, name)
    if account.oidc_subject:
        raise Refused(f"{name} logs in with single sign-on and has no password here.")
    password, account.password_expires_at = _one_time(now)
    account.password_hash, account.must_change = await hashed(password), True
    await end_sessions(session, name)
    return password


async def change_password(session: AsyncSession, name: str, password: str, keep: str = "") -> None:
    """Set the password that a person has chosen; all their sessions but that with the token `keep` end."""
    check_chosen(name, password)
    account = await account_row(session, name)
    account.password_hash = await hashed(password)
    account.must_change, account.password_expires_at = False, None
    await end_sessions(session, name, but=keep)


async def set_role(session: AsyncSession, name: str, role: Role) -> None:
    """Give an account another role. Raises LookupError or Refused."""
    account = await account_row(session, name)
    if account.role == Role.ADMIN and role != Role.ADMIN:
        await _another_admin(session, name)
    account.role = role


async def disable(session: AsyncSession, name: str, actor: str, now: datetime) -> None:
    """Lock somebody out: sessions end, and tokens no longer work. Raises LookupError or Refused."""
    account = await account_row(session, name)
    if name == actor:
        raise Refused("You can't disable your own account. Ask another admin.")
    if account.disabled_at:
        raise Refused(f"{name} is disabled already.")
    if account.role == Role.ADMIN:
        await _another_admin(session, name)
    account.disabled_at = now
    await end_sessions(session, name)


async def enable(session: AsyncSession, name: str) -> None:
    """Let somebody log in again. Raises LookupError."""
    (await account_row(session, name)).disabled_at = None


async def account_row(session: AsyncSession, name: str) -> Account:
    """Return an account, read afresh under a lock. Raises LookupError."""
    account = await session.get(Account, name, with_for_update=True)
    if account is None:
        raise LookupError(f"There is no account “{name[:64]}”.")
    return account


@dataclass(frozen=True, slots=True)
class Person:
    """An account with the number of its sessions."""

    account: Account
    sessions: int


async def people(session: AsyncSession, now: datetime) -> Sequence[Person]:
    """Return all accounts, those that are disabled last."""
    count = (
        select(func.count())
        .where(LoginSession.account == Account.name, LoginSession.expires_at > now)
        .scalar_subquery()
    )
    query = select(Account, count).order_by(Account.disabled_at.is_not(None), Account.name)
    return [Person(account, number) for account, number in await session.execute(query)]


async def _another_admin(session: AsyncSession, name: str) -> None:
    others = select(func.count()).where(Account.role == Role.ADMIN, Account.name != name, Account.disabled_at.is_(None))
    if not await session.scalar(others):
        raise Refused(f"{name} is the only admin. Make somebody else an admin first.")


def _one_time(now: datetime) -> tuple[str, datetime]:
    return secrets.token_urlsafe(12), now + ONE_TIME_LASTS
