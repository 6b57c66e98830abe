"""Problems, silences, notices, and what cases and episodes know of them.

Columns are added by plain statements: both databases take a column that refers to another table only if it may be null,
and Alembic would copy SQLite's whole table for it, which the rows that refer to this table forbid.
"""

import sqlalchemy as sa
from alembic import op

from cloud.store.migrations.columns import AT, BIG_ID, column

revision = "0003"
down_revision = "0002"

_TIME = "TIMESTAMP WITH TIME ZONE"
_COLUMNS = (
    ("support_case", "fault", "VARCHAR(200) DEFAULT '' NOT NULL"),
    ("support_case", "lane", "VARCHAR(16)"),
    ("support_case", "lane_reason", "TEXT DEFAULT '' NOT NULL"),
    ("support_case", "problem_number", "BIGINT REFERENCES problem (number)"),
    ("support_case", "first_owner", "VARCHAR(64)"),
    ("support_case", "reminder_at", _TIME),
    ("support_case", "reminder_note", "TEXT DEFAULT '' NOT NULL"),
    ("support_case", "merged_into", "BIGINT REFERENCES support_case (number)"),
    ("support_case", "merged_episodes", "JSON DEFAULT '[]' NOT NULL"),
    ("episode", "first_severity", "VARCHAR(16) DEFAULT '' NOT NULL"),
    ("episode", "acknowledged_by", "VARCHAR(64)"),
    ("episode", "acknowledged_at", _TIME),
    ("episode", "silence_number", "BIGINT REFERENCES silence (number)"),
    ("episode", "suppressed_until", _TIME),
    ("episode", "explained_by", "BIGINT REFERENCES episode (id)"),
)
_INDEXES = (
    ("support_case", "problem_number"),
    ("episode", "silence_number"),
    ("episode", "explained_by"),
)


def upgrade() -> None:
    """Create the tables, add the columns, and fill what can be known of old rows."""
    _problems()
    _silences()
    _notices()
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, name, kind in _COLUMNS:
        kind = kind.replace("BIGINT", "INTEGER").replace(_TIME, "DATETIME") if sqlite else kind
        op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    for table, name in _INDEXES:
        op.create_index(f"ix_{table}_{name}", table, [name])
    op.create_index("support_case_fault", "support_case", ["fault", "opened_at"])
    op.execute("UPDATE episode SET first_severity = severity")
    first = "SELECT fault FROM episode WHERE case_number = support_case.number ORDER BY id LIMIT 1"
    op.execute(f"UPDATE support_case SET fault = COALESCE(({first}), '')")  # noqa: S608  our own names


def _problems() -> None:
    op.create_table(
        "problem",
        column("number", BIG_ID),
        column("fault", sa.String(length=200)),
        column("scope", sa.String(length=16)),
        column("value", sa.String(length=200)),
        column("title", sa.String(length=400)),
        column("state", sa.String(length=16)),
        column("opened_at", AT),
        column("opened_reason", sa.Text()),
        column("last_case_at", AT),
        column("owner", sa.String(length=64), optional=True),
        column("announcement", sa.Text()),
        column("announced_by", sa.String(length=64)),
        column("announced_at", AT, optional=True),
        column("closed_at", AT, optional=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("problem_open", "problem", ["state", "fault"])
    op.create_table(
        "problem_entry",
        column("id", BIG_ID),
        column("problem_number", BIG_ID),
        column("at", AT),
        column("actor", sa.String(length=64)),
        column("kind", sa.String(length=32)),
        column("text", sa.Text()),
        sa.ForeignKeyConstraint(["problem_number"], ["problem.number"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_problem_entry_problem_number", "problem_entry", ["problem_number"])


def _silences() -> None:
    op.create_table(
        "silence",
        column("number", BIG_ID),
        column("owner", sa.String(length=64)),
        column("reason", sa.Text()),
        column("zone", sa.String(length=64)),
        column("device", sa.String(length=64)),
        column("site", sa.String(length=200)),
        column("model", sa.String(length=128)),
        column("fault", sa.String(length=200)),
        column("starts_at", AT),
        column("ends_at", AT),
        column("weekdays", sa.JSON()),
        column("from_time", sa.String(length=5)),
        column("to_time", sa.String(length=5)),
        column("created_at", AT),
        column("ended_at", AT, optional=True),
        column("ended_by", sa.String(length=64)),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_silence_ends_at", "silence", ["ends_at"])


def _notices() -> None:
    op.create_table(
        "notice",
        column("id", BIG_ID),
        column("account", sa.String(length=64)),
        column("case_number", BIG_ID),
        column("at", AT),
        column("actor", sa.String(length=64)),
        column("text", sa.Text()),
        column("read_at", AT, optional=True),
        sa.ForeignKeyConstraint(["account"], ["account.name"]),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("notice_account", "notice", ["account", "read_at"])
