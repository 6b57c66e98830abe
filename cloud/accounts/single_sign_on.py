"""Single sign-on: from the verified claims of a provider to an account here.

What flows in: issuer, claims and the role that they give. What flows out: the account, made at its first login.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.accounts.people import check_name
from cloud.accounts.roles import Role
from cloud.cases.cases import Refused
from cloud.store.tables import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody as their provider knows them. `subject` never changes, a name may."""

    issuer: str
    subject: str
    name: str
    role: Role

    @property
    def key(self) -> str:
        """What is unique over all providers."""
        return f"{self.issuer} {self.subject}"


async def account_of(session: AsyncSession, identity: Identity, now: datetime) -> Account:
    """Return the account of an identity with the role that it has now; make it at the first login. Raises Refused.

    An account with the same name that logs in with a password is somebody else's until an admin links it: a name at
    the provider must not open it.
    """
    account = await session.scalar(select(Account).where(Account.oidc_subject == identity.key).with_for_update())
    if account is None:
        name = check_name(identity.name)
        if await session.get(Account, name):
            raise Refused(
                f"There is an account “{name}” with a password here. Ask an admin to link it: "
                f"support-cloud account link {name} {identity.subject}"
            )
        account = Account(name=name, password_hash="", created_at=now, oidc_subject=identity.key)
        session.add(account)
    if account.disabled_at:
        raise Refused(f"The account {account.name} is disabled. Ask an admin.")
    account.role, account.last_login_at = identity.role, now
    await session.flush()
    return account
