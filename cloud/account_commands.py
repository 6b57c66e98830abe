"""`support-cloud account ...`: people from the command line, for set-up and for when nobody can log in.

What flows in: the database and what the command line says. What flows out: lines for the terminal; changes are in the
audit log, as those of the command line.
"""

import argparse
import getpass
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.accounts import Role, people, sessions
from cloud.cases.cases import Refused
from cloud.config import Config, ConfigError
from cloud.store import audit
from cloud.store.audit import Actor
from cloud.store.database import Database

ACTOR = "command line"
ACTIONS = ("list", "add", "password", "role", "disable", "enable", "end-sessions", "link")
_Action = Callable[[AsyncSession, argparse.Namespace, Config, datetime], Awaitable[str]]


def add_parsers(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", options: argparse.ArgumentParser
) -> None:
    """Add `account` with its actions to the command line; each sets `account_action`."""
    parser = commands.add_parser("account", help="people who may log in")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    roles = [str(role) for role in Role]

    def add(name: str, text: str, *, named: bool = True) -> argparse.ArgumentParser:
        made = actions.add_parser(name, parents=[options], help=text, description=f"{text[:1].upper()}{text[1:]}.")
        if named:
            made.add_argument("name", metavar="NAME", help="the name of the account")
        made.set_defaults(account_action=name)
        return made

    add("list", "list all accounts with role, state and sessions", named=False)
    add("add", "add somebody and print a one-time password").add_argument(
        "--role", choices=roles, default="agent", help="default: agent"
    )
    add("password", "replace a lost password by a one-time password, and print it")
    add("role", "give somebody another role").add_argument("role", choices=roles, help="the role")
    add("disable", "lock somebody out: sessions end, tokens stop working")
    add("enable", "let somebody log in again")
    add("end-sessions", "log somebody out everywhere")
    add("link", "let an account log in with single sign-on, and no longer with a password").add_argument(
        "subject", metavar="SUBJECT", help="the claim sub that the provider gives for them"
    )


async def run_action(config: Config, arguments: argparse.Namespace) -> str:
    """Run one action in one transaction; return what to print. Raises LookupError, or ConfigError if refused."""
    now = datetime.now(UTC)
    what = f"account: {arguments.account_action}"
    actor = Actor(name=ACTOR, source=f"command line, user {getpass.getuser()}", what=what, at=now)
    database = Database(config.database_url)
    try:
        async with database.begin(actor) as session:
            return await _ACTIONS[arguments.account_action](session, arguments, config, now)
    except Refused as refusal:
        raise ConfigError(str(refusal)) from None
    finally:
        await database.close()


async def _list(session: AsyncSession, _given: argparse.Namespace, _config: Config, now: datetime) -> str:
    rows = [("NAME", "ROLE", "LOGIN", "SESSIONS")]
    for person in await people.people(session, now):
        account = person.account
        login = "single sign-on" if account.oidc_subject else "one-time password" if account.must_change else "password"
        rows.append((account.name, account.role, "disabled" if account.disabled_at else login, str(person.sessions)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


async def _add(session: AsyncSession, given: argparse.Namespace, _config: Config, now: datetime) -> str:
    return _once(given.name, await people.add_person(session, given.name, Role(given.role), now))


async def _password(session: AsyncSession, given: argparse.Namespace, _config: Config, now: datetime) -> str:
    return _once(given.name, await people.reset_password(session, given.name, now))


async def _role(session: AsyncSession, given: argparse.Namespace, _config: Config, _now: datetime) -> str:
    await people.set_role(session, given.name, Role(given.role))
    return f"{given.name} is {given.role} now"


async def _disable(session: AsyncSession, given: argparse.Namespace, _config: Config, now: datetime) -> str:
    await people.disable(session, given.name, "", now)
    return f"{given.name} is disabled"


async def _enable(session: AsyncSession, given: argparse.Namespace, _config: Config, _now: datetime) -> str:
    await people.enable(session, given.name)
    return f"{given.name} can log in again"


async def _end_sessions(session: AsyncSession, given: argparse.Namespace, _config: Config, _now: datetime) -> str:
    await people.account_row(session, given.name)
    ended = await sessions.end_sessions(session, given.name)
    audit.record(session, f"account {given.name}", {"sessions": ended}, {"sessions": 0})
    return f"{ended} {'session' if ended == 1 else 'sessions'} of {given.name} ended"


async def _link(session: AsyncSession, given: argparse.Namespace, config: Config, _now: datetime) -> str:
    if not config.web.oidc.issuer:
        raise ConfigError("web.oidc.issuer is not set; name the configuration with --config")
    account = await people.account_row(session, given.name)
    account.oidc_subject = f"{config.web.oidc.issuer} {given.subject}"
    account.password_hash, account.must_change, account.password_expires_at = "", False, None
    await sessions.end_sessions(session, given.name)
    return f"{given.name} logs in with single sign-on from now on"


def _once(name: str, password: str) -> str:
    days = people.ONE_TIME_LASTS.days
    return (
        f"one-time password of {name}: {password}\n"
        f"It works for {days} days; {name} must choose another one at the first login."
    )


_ACTIONS: dict[str, _Action] = dict(
    zip(ACTIONS, (_list, _add, _password, _role, _disable, _enable, _end_sessions, _link), strict=True)
)
