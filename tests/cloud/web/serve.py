"""Serve the console with a seeded database, to look at it: python -m tests.cloud.web.serve FOLDER [PORT]."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from cloud import accounts
from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.change_signal import ChangeSignal
from cloud.store.database import Database
from cloud.web.app import create_app
from tests.cloud.web import seed


async def serve(folder: Path, port: int) -> None:
    """Seed a database in `folder` if there is none, write Alice's password beside it, and serve until interrupted."""
    file = folder / "cloud.db"
    fresh = not file.exists()
    database = Database(f"sqlite+aiosqlite:///{file}")
    await database.migrate()
    case_service = CaseService(Rules())
    if fresh:
        async with database.begin() as session:
            await accounts.add_account(session, "alice", "correct horse", datetime.now(UTC), accounts.Role.ADMIN)
        (folder / "password").write_text("correct horse\n")
        await seed.a_day(database, case_service, datetime.now(UTC))
    app = create_app(database, case_service, ChangeSignal(), now=lambda: datetime.now(UTC))
    config = uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1)
    await uvicorn.Server(config).serve()
    await database.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 8123))
