"""Passwords: argon2id hashes, made off the event loop, and a memory of those that were right a moment ago."""

import asyncio
import hashlib
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from cloud.cases.cases import Refused
from cloud.store.tables import Account

SHORTEST = 12  # characters of a password that a person chooses; NIST SP 800-63B-4 asks for no more rules than a length

_HASHER = PasswordHasher()  # argon2id with the library's parameters, RFC 9106's low-memory recommendation
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))  # what an unknown name is checked against: same cost, never true
# Each check takes 64 MiB for a moment: a flood of logins waits for two threads instead of taking all memory.
_HASHING = ThreadPoolExecutor(max_workers=2, thread_name_prefix="password")


async def hashed(password: str) -> str:
    """Return the hash of a password."""
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _HASHER.hash, password)


async def fits(account: Account | None, password: str) -> bool:
    """Say whether this is the account's password. No account costs the time of a wrong password.

    Call it outside of any database session: a flood of logins waits here, and must not hold connections meanwhile.
    """
    stored = account.password_hash if account and account.password_hash else _NOBODY
    return await asyncio.get_running_loop().run_in_executor(_HASHING, _matches, stored, password)


def _matches(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except VerificationError:
        return False


def check_chosen(name: str, password: str) -> None:
    """Refuse a password that is easy to guess."""
    if len(password) < SHORTEST:
        raise Refused(f"The password has {len(password)} characters. Choose one with at least {SHORTEST}.")
    if name.casefold() in password.casefold() or len(set(password)) < 5:
        raise Refused("The password contains the name, or few different characters. Choose another one.")


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
