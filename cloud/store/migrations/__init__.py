"""Alembic's home: `env.py` runs the files of `versions/` in order, in the transaction of `Database.migrate`."""
