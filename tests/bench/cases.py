"""How many cases a second one worker opens from findings, beside the raw inserts of the same rows.

What flows in: how many cases. What flows out: cases a second on SQLite and on PostgreSQL, without and with the clocks
of service levels and mail, and what the plain inserts of a case, its episode and its timeline reach in the same run.
`python -m tests.bench.cases` prints it as JSON; each figure is the median of `ROUNDS` runs. Every finding is critical,
so it opens its case at once; every device has one.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.calendars import ALWAYS
from cloud.cases.episodes import Rules
from cloud.cases.service_levels import ServiceLevels
from cloud.notify import NotificationFollower, NotifyTable
from cloud.outcomes import outcome_followers
from cloud.service_levels import ClockKeeper
from cloud.store.database import Database
from cloud.store.tables import CaseEntry, Device, Episode, SupportCase
from edge_agent.protocol.faults import FAULTS, Severity
from edge_agent.protocol.records import Finding
from tests.builders import NOON, a_finding, an_id, an_instant
from tests.chaos.postgres import Postgres

CASES = 1500
PER_TRANSACTION = 100  # findings; a batch of the ingest holds up to 512 messages
FIRMWARES, SITES = 4, 50
ROUNDS = 3
EVERY = timedelta(minutes=10)  # between two cases: no storm
_Work = Callable[[AsyncSession, str, Finding, datetime], Awaitable[None]]


def measure(cases: int = CASES) -> dict[str, Any]:
    """Run both databases; the raw inserts and the service take turns."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as a user of its own
        urls = {"SQLite": f"sqlite+aiosqlite:///{folder / 'cases.db'}"}
        with contextlib.suppress(FileNotFoundError):
            server = Postgres(folder / "server")
            server.start()
            stack.callback(server.stop)
            urls["PostgreSQL"] = server.url
        return {kind: _compared(url, cases) for kind, url in urls.items()}


def _compared(url: str, cases: int) -> dict[str, Any]:
    raw, opened, followed = [], [], []
    mail = NotificationFollower(NotifyTable(to=["support@example.org"]))
    followers = (*outcome_followers(), ClockKeeper(ServiceLevels(), lambda _name: ALWAYS), mail)
    for _ in range(ROUNDS):
        raw.append(cases / asyncio.run(_run_s(url, cases, _insert)))
        opened.append(cases / asyncio.run(_run_s(url, cases, CaseService(Rules(), outcome_followers()).apply_finding)))
        followed.append(cases / asyncio.run(_run_s(url, cases, CaseService(Rules(), followers).apply_finding)))
    rate, limit = statistics.median(opened), statistics.median(raw)
    return {
        "cases_per_s": round(rate),
        "with_clocks_and_mail_per_s": round(statistics.median(followed)),
        "raw_inserts_per_s": round(limit),
        "of_raw": round(rate / limit, 2),
    }


async def _run_s(url: str, cases: int, work: _Work) -> float:
    """Seconds for all findings, in transactions of PER_TRANSACTION, on an empty database."""
    database = Database(url)
    await _empty(database)
    async with database.begin() as session:
        for number in range(cases):
            names = {"firmware": f"fw-{number % FIRMWARES}", "site": f"site {number % SITES}", "hardware": "Pi 5"}
            session.add(Device(device=f"device-{number}", first_seen=NOON, last_seen=NOON, **names))
    findings = [_finding(number) for number in range(cases)]
    began = time.perf_counter()
    for first in range(0, cases, PER_TRANSACTION):
        async with database.begin() as session:
            for number in range(first, min(first + PER_TRANSACTION, cases)):
                await work(session, f"device-{number}", findings[number], findings[number].at.wall)
    took_s = time.perf_counter() - began
    async with database.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM support_case")) == cases
    await database.close()
    return took_s


async def _empty(database: Database) -> None:
    await database.migrate()
    async with database.begin() as session:
        for table in (
            "notification",
            "case_clock",
            "case_entry",
            "episode",
            "support_case",
            "problem_entry",
            "problem",
            "device",
        ):
            await session.execute(text(f"DELETE FROM {table}"))


def _finding(number: int) -> Finding:
    fault = sorted(FAULTS)[number % len(FAULTS)]
    at = an_instant(number * EVERY.total_seconds())
    return a_finding(at=at, fault=fault, severity=Severity.CRITICAL, finding_id=an_id(number + 1))


async def _insert(session: AsyncSession, device: str, finding: Finding, now: datetime) -> None:
    """Insert the rows of one case, one statement each, and decide nothing."""
    texts = {"title": finding.fault, "severity_reason": finding.reason, "opened_reason": finding.reason}
    case = {"device": device, "state": "new", "severity": finding.severity, "opened_at": now, "updated_at": now}
    number = await session.scalar(insert(SupportCase).values(**case, **texts).returning(SupportCase.number))
    episode: dict[str, Any] = {
        "device": device, "fault": finding.fault, "component": finding.component, "state": "firing",
        "severity": finding.severity, "severity_reason": finding.reason, "confidence": finding.confidence,
        "sentence": finding.reason, "carriers": [], "detector": finding.detector.model_dump(mode="json"),
        "finding_id": finding.finding_id, "first_at": now, "last_at": now, "reasons": [], "case_number": number,
    }  # fmt: skip
    await session.execute(insert(Episode).values(**episode))
    entry: dict[str, Any] = {
        "case_number": number,
        "at": now,
        "actor": "forewarn",
        "kind": "opened",
        "text": "",
        "detail": {},
    }
    await session.execute(insert(CaseEntry).values(**entry))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=CASES)
    json.dump(measure(parser.parse_args().cases), sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
