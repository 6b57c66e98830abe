"""Customers and sites, what staff record about devices, the device of a dead letter, and indexes for their pages."""

import sqlalchemy as sa
from alembic import op

from cloud.store.migrations.columns import AT, column

revision = "0009"
down_revision = "0008"

_INDEXES = {
    "device_hardware": ("device", ["hardware"]),
    "device_firmware": ("device", ["firmware"]),
    "device_place": ("device", ["customer", "site"]),
    "device_site": ("device", ["site"]),
    "device_presence": ("device", ["presence", "last_seen"]),
    "support_case_opened": ("support_case", ["opened_at"]),
    "episode_watch": ("episode", ["first_severity", "state", "last_at"]),
    "telemetry_chunk_of": ("telemetry_chunk", ["device", "start_at"]),
    "dead_letter_device": ("dead_letter", ["device"]),
}


def upgrade() -> None:
    """Create the tables and columns, and take over the customers and sites that devices name already."""
    _tables()
    for name, length in (("owner", 200), ("tags", 400), ("note", 2000)):
        op.add_column("device", sa.Column(name, sa.String(length=length), nullable=False, server_default=""))
    op.add_column("device", sa.Column("consent", sa.String(length=16), nullable=False, server_default="unknown"))
    op.add_column("device", sa.Column("inventory_version", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("dead_letter", sa.Column("device", sa.String(length=64), nullable=False, server_default=""))
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns)
    _fill()


def _tables() -> None:
    op.create_table(
        "customer",
        column("name", sa.String(length=200)),
        column("contact", sa.String(length=400)),
        column("note", sa.String(length=2000)),
        column("version", sa.Integer()),
        column("changed_at", AT),
        column("changed_by", sa.String(length=64)),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "site",
        column("customer", sa.String(length=200)),
        column("name", sa.String(length=200)),
        column("address", sa.String(length=400)),
        column("zone", sa.String(length=64)),
        column("note", sa.String(length=2000)),
        column("version", sa.Integer()),
        column("changed_at", AT),
        column("changed_by", sa.String(length=64)),
        sa.ForeignKeyConstraint(["customer"], ["customer.name"]),
        sa.PrimaryKeyConstraint("customer", "name"),
    )


def _fill() -> None:
    """Write what the present rows imply, in SQL that both databases have."""
    now = "CURRENT_TIMESTAMP"
    op.execute(
        f"INSERT INTO customer SELECT customer, '', '', 1, {now}, 'forewarn' FROM device "  # noqa: S608  our own text
        "WHERE customer <> '' GROUP BY customer"
    )
    op.execute(
        f"INSERT INTO site SELECT customer, site, '', '', '', 1, {now}, 'forewarn' FROM device "  # noqa: S608  the same
        "WHERE customer <> '' AND site <> '' GROUP BY customer, site"
    )
    rest = "substr(topic, length('forewarn/v1/') + 1)"
    slash = f"(CASE WHEN {rest} LIKE '%/%' THEN {{}} ELSE 0 END)"
    position = "strpos" if op.get_bind().dialect.name == "postgresql" else "instr"
    end = slash.format(f"{position}({rest}, '/')")
    op.execute(
        f"UPDATE dead_letter SET device = substr({rest}, 1, {end} - 1) "  # noqa: S608  our own text
        f"WHERE topic LIKE 'forewarn/v1/%' AND {end} BETWEEN 2 AND 65"
    )
