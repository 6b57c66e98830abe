"""Accounts: who may log in and what they may do.

What flows in: names, passwords, cookie tokens, API secrets and verified claims. What flows out: accounts, or None.
Passwords are kept as argon2 hashes, random tokens as their SHA-256.
"""

from cloud.accounts.login_limits import Throttle
from cloud.accounts.passwords import _HASHER as _HASHER  # tests hash their passwords once
from cloud.accounts.passwords import _NOBODY as _NOBODY
from cloud.accounts.passwords import RecentPasswords, fits
from cloud.accounts.people import FIRST_ACCOUNT, add_account, first_account
from cloud.accounts.roles import PERMISSIONS, SCOPES, Permission, Role
from cloud.accounts.sessions import SessionLimits, end_session, form_token, open_session, session_account

__all__ = [
    "FIRST_ACCOUNT",
    "PERMISSIONS",
    "SCOPES",
    "Permission",
    "RecentPasswords",
    "Role",
    "SessionLimits",
    "Throttle",
    "add_account",
    "end_session",
    "first_account",
    "fits",
    "form_token",
    "open_session",
    "session_account",
]
