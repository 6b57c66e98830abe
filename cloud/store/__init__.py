"""The store: tables, migrations and the queries of the console, over SQLite or PostgreSQL."""

from cloud.store import outcome_tables as _outcome_tables  # noqa: F401  they must be known before the database is opened
from cloud.store import search_tables as _search_tables  # noqa: F401  they must be known before the database is opened
from cloud.store import service_tables as _service_tables  # noqa: F401  they must be known before the database is opened
