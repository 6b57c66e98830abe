"""API tokens: a program's own way in, with a name, scopes and an end.

What flows in: who makes a token, for what and how long. What flows out: its secret, once; later, whose it is. A secret
is random and only its SHA-256 is kept. A token never may more than its account may now.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.accounts.roles import PERMISSIONS, SCOPES, Permission, Role
from cloud.accounts.sessions import TOUCH_EVERY, digest
from cloud.cases.cases import Refused
from cloud.store.people_tables import ApiToken
from cloud.store.tables import Account

PREFIX = "fwn_"  # by which scanners of source code recognise a leaked one
LONGEST_DAYS = 366
MOST_TOKENS = 50  # of one account


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """What a person asks for."""

    name: str
    scopes: frozenset[Permission]
    days: int


async def create_token(session: AsyncSession, account: Account, wanted: NewToken, now: datetime) -> tuple[int, str]:
    """Store a token and return its number and its secret, which is shown once. Raises Refused."""
    name = wanted.name.strip()
    if not name:
        raise Refused("The name is empty. Name the program that will use the token.")
    if not 1 <= wanted.days <= LONGEST_DAYS:
        raise Refused(f"A token can't last {wanted.days} days. Choose 1 to {LONGEST_DAYS}.")
    if not wanted.scopes:
        raise Refused("No scope is chosen. Choose what the token is for.")
    if beyond := wanted.scopes - (PERMISSIONS[Role(account.role)] & set(SCOPES)):
        raise Refused(f"Your role does not have the scope {', '.join(sorted(beyond))}. Choose others.")
    mine = select(func.count()).where(ApiToken.account == account.name, ApiToken.revoked_at.is_(None))
    if (await session.scalar(mine) or 0) >= MOST_TOKENS:
        raise Refused(f"You have {MOST_TOKENS} tokens. Revoke those that are not used.")
    secret = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        account=account.name,
        name=name,
        scopes=sorted(wanted.scopes | {Permission.READ}),
        secret_hash=digest(secret),
        created_at=now,
        expires_at=now + timedelta(days=wanted.days),
    )
    session.add(row)
    await session.flush()
    return row.id, secret


async def token_account(session: AsyncSession, secret: str, now: datetime) -> tuple[ApiToken, Account] | None:
    """Return the token with this secret and its account, unless it is over, revoked or its person disabled."""
    query = (
        select(ApiToken, Account)
        .join(Account, Account.name == ApiToken.account)
        .where(
            ApiToken.secret_hash == digest(secret),
            ApiToken.expires_at > now,
            ApiToken.revoked_at.is_(None),
            Account.disabled_at.is_(None),
        )
    )
    row = (await session.execute(query)).one_or_none()
    return (row[0], row[1]) if row else None


def is_stale(token: ApiToken, now: datetime) -> bool:
    """Say whether the use of a token should be written down."""
    return token.last_used_at is None or now - token.last_used_at >= TOUCH_EVERY


async def touch_token(session: AsyncSession, number: int, now: datetime) -> None:
    """Write down that a token is in use."""
    await session.execute(update(ApiToken).where(ApiToken.id == number).values(last_used_at=now))


async def revoke_token(
    session: AsyncSession, number: int, actor: str, now: datetime, *, of_anybody: bool = False
) -> None:
    """End a token of one's own, or `of_anybody`. Raises LookupError or Refused."""
    row = await session.get(ApiToken, number)
    if row is None or (row.account != actor and not of_anybody):
        raise LookupError(f"You have no token {number}.")
    if row.revoked_at:
        raise Refused(f"Token {number} is revoked already.")
    row.revoked_at, row.revoked_by = now, actor


async def tokens_of(session: AsyncSession, names: Collection[str] | None, most: int) -> Sequence[ApiToken]:
    """Return the tokens of these accounts, or of all, those that work first."""
    query = select(ApiToken).order_by(ApiToken.revoked_at.is_not(None), ApiToken.id.desc()).limit(most)
    if names is not None:
        query = query.where(ApiToken.account.in_(names))
    return (await session.scalars(query)).all()
