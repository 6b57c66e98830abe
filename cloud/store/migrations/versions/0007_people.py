"""People: roles, one-time passwords, sessions that end when idle, API tokens and the audit log."""

import sqlalchemy as sa
from alembic import op

from cloud.store.migrations.columns import AT, BIG_ID, column

revision = "0007"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables and the columns. Sessions count as last used when they began."""
    _accounts()
    _sessions()
    _tokens()
    _audit()


def _accounts() -> None:
    op.add_column("account", sa.Column("must_change", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("password_expires_at", "disabled_at", "last_login_at"):
        op.add_column("account", column(name, AT, optional=True))
    op.add_column("account", column("oidc_subject", sa.String(length=600), optional=True))
    op.create_index("ix_account_oidc_subject", "account", ["oidc_subject"], unique=True)
    op.execute("UPDATE account SET role = 'admin' WHERE name = 'admin'")  # the first account looks after the others


def _sessions() -> None:
    op.add_column("login_session", column("last_used_at", AT, optional=True))
    op.add_column("login_session", sa.Column("address", sa.String(length=64), nullable=False, server_default=""))
    op.execute("UPDATE login_session SET last_used_at = created_at")
    with op.batch_alter_table("login_session") as session:  # no other table points to it, so SQLite may copy it
        session.alter_column("last_used_at", existing_type=AT, nullable=False)
    op.create_index("ix_login_session_account", "login_session", ["account"])


def _tokens() -> None:
    op.create_table(
        "api_token",
        column("id", BIG_ID),
        column("account", sa.String(length=64)),
        column("name", sa.String(length=100)),
        column("scopes", sa.JSON()),
        column("secret_hash", sa.String(length=64)),
        column("created_at", AT),
        column("expires_at", AT),
        column("last_used_at", AT, optional=True),
        column("revoked_at", AT, optional=True),
        column("revoked_by", sa.String(length=64)),
        sa.ForeignKeyConstraint(["account"], ["account.name"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_hash"),
    )
    op.create_index("ix_api_token_account", "api_token", ["account"])


def _audit() -> None:
    op.create_table(
        "audit_entry",
        column("id", BIG_ID),
        column("at", AT),
        column("actor", sa.String(length=64)),
        column("source", sa.String(length=200)),
        column("what", sa.String(length=100)),
        column("subject", sa.String(length=280)),
        column("before", sa.JSON()),
        column("after", sa.JSON()),
        sa.PrimaryKeyConstraint("id"),
    )
    for name in ("actor", "subject", "what"):
        op.create_index(f"audit_entry_{name}", "audit_entry", [name, "id"])
