"""Roles: what a person or an API token may do. Which action needs what is in `cloud.web.permissions`."""

from enum import StrEnum


class Role(StrEnum):
    """What an account is for; each includes those before it."""

    VIEWER = "viewer"  # reads
    AGENT = "agent"  # works on cases
    SUPERVISOR = "supervisor"  # decides on what concerns everybody
    ADMIN = "admin"  # looks after people, tokens and the configuration


class Permission(StrEnum):
    """What an action needs."""

    PUBLIC = "public"  # nothing: before the login
    OWN = "own"  # a person who is logged in, for what is theirs; no token can do it
    READ = "read"
    CASES = "cases"
    SUPERVISE = "supervise"
    ADMIN = "admin"


SCOPES = (Permission.READ, Permission.CASES, Permission.SUPERVISE, Permission.ADMIN)  # what a token can be made for
_OF_VIEWERS = frozenset({Permission.PUBLIC, Permission.OWN, Permission.READ})
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _OF_VIEWERS,
    Role.AGENT: _OF_VIEWERS | {Permission.CASES},
    Role.SUPERVISOR: _OF_VIEWERS | {Permission.CASES, Permission.SUPERVISE},
    Role.ADMIN: frozenset(Permission),
}


def least_role(permission: Permission) -> Role:
    """Return the first role that has the permission."""
    return next(role for role in Role if permission in PERMISSIONS[role])
