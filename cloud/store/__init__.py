"""The store: tables, migrations and the queries of the console, over SQLite or PostgreSQL."""
