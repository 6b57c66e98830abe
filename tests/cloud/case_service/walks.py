"""Random walks of signals, time and staff actions through the case service, compared with the reference model.

What flows in: how many steps. What flows out: the number of steps that agreed on each database, as JSON, or Hypothesis'
smallest walk that does not agree. `python -m tests.cloud.case_service.walks --steps 10000` is the long run; `make test`
takes a short one.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.cases import Label, Refused
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Outcome
from cloud.cases.silences import Silence
from cloud.store.database import Database
from cloud.store.tables import Account, Device, Episode, SupportCase
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Phase
from tests.builders import NOON, a_finding
from tests.chaos.postgres import Postgres
from tests.cloud.case_service.fleet import at
from tests.cloud.case_service.reference_model import ModelCase, ReferenceModel

DEVICES, FAULTS, PEOPLE = ("pump-07", "kiln-02"), ("memory.leak", "sensor.stuck"), ("alice", "bob", "carol")
TABLES = (
    "notice", "case_entry", "episode", "support_case", "problem_entry", "problem", "silence", "account", "device",
)  # fmt: skip
STEPS_IN_A_WALK = 50
device, fault, person = st.sampled_from(DEVICES), st.sampled_from(FAULTS), st.sampled_from(PEOPLE)
seconds = st.sampled_from([1, 4, 5, 6, 60, 299, 300, 301, 3600, 86400])
place = st.integers(min_value=0, max_value=9)
Work = Callable[[AsyncSession], Coroutine[Any, Any, object]]


class Walk(RuleBasedStateMachine):
    """One walk; `database` is emptied at its start."""

    database: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.model, self.service = ReferenceModel(), CaseService(Rules())
        self._do(_emptied)

    @initialize(device=device, fault=fault)
    def begin(self, device: str, fault: str) -> None:
        self.report(device, fault, critical=False, wait=5)

    @rule(device=device, fault=fault, critical=st.booleans(), wait=st.sampled_from([5, 6, 4, 0]))
    def report(self, device: str, fault: str, critical: bool, wait: int) -> None:
        self._signal(device, fault, Phase.OPEN, critical)
        self.model.report(device, fault, critical)
        self._wait(wait)

    @rule(device=device, fault=fault, wait=st.sampled_from([300, 299, 301, 0]))
    def clear(self, device: str, fault: str, wait: int) -> None:
        self._signal(device, fault, Phase.CLEAR, critical=False)
        self.model.clear(device, fault)
        self._wait(wait)

    @rule(device=device, fault=fault, away=st.sampled_from([1, 86100, 86400 - 306, 90000]))
    def recover_and_return(self, device: str, fault: str, away: int) -> None:
        self.clear(device, fault, wait=300)
        self._wait(away)
        self.report(device, fault, critical=False, wait=6)

    @rule(passed=seconds)
    def pass_time(self, passed: int) -> None:
        self._wait(passed)

    @precondition(lambda self: self.model.cases)
    @rule(place=place, who=person)
    def take(self, place: int, who: str) -> None:
        case, staff = self._case(place), self.service.staff
        self._try(self.model.take(case, who), lambda s: staff.take(s, case.number, who, at(self.model.now)))

    @precondition(lambda self: self.model.cases)
    @rule(place=place)
    def release(self, place: int) -> None:
        case, staff = self._case(place), self.service.staff
        self._try(self.model.release(case), lambda s: staff.release(s, case.number, "alice", at(self.model.now)))

    @precondition(lambda self: self.model.cases)
    @rule(place=place, to=person)
    def hand_over(self, place: int, to: str) -> None:
        case, staff, now = self._case(place), self.service.staff, at(self.model.now)
        self._try(self.model.hand_over(case, to), lambda s: staff.hand_over(s, case.number, "bob", to, "yours", now))

    @precondition(lambda self: self.model.cases)
    @rule(place=place, label=st.sampled_from(Label))
    def close(self, place: int, label: Label) -> None:
        case, staff, now = self._case(place), self.service.staff, at(self.model.now)
        self._try(
            self.model.close(case, label), lambda s: staff.close(s, case.number, "alice", Outcome(label=label), now)
        )

    @precondition(lambda self: self.model.cases)
    @rule(place=place)
    def reopen(self, place: int) -> None:
        case, staff, now = self._case(place), self.service.staff, at(self.model.now)
        self._try(self.model.reopen(case), lambda s: staff.reopen(s, case.number, "alice", "not done", now))

    @precondition(lambda self: self.model.cases)
    @rule(place=place, who=person, until=seconds)
    def snooze(self, place: int, who: str, until: int) -> None:
        case, staff, now = self._case(place), self.service.staff, self.model.now
        done = self.model.snooze(case, who, until)
        self._try(done, lambda s: staff.snooze(s, case.number, who, at(now + until), "", at(now)))

    @precondition(lambda self: len(self.model.cases) > 1)
    @rule(place=place, into=place)
    def merge(self, place: int, into: int) -> None:
        case, target, staff, now = self._case(place), self._case(into), self.service.staff, at(self.model.now)
        self._try(self.model.merge(case, target), lambda s: staff.merge(s, case.number, target.number, "bob", now))

    @precondition(lambda self: any(case.state == "merged" for case in self.model.cases))
    @rule(place=place)
    def unmerge(self, place: int) -> None:
        merged = [case for case in self.model.cases if case.state == "merged"]
        case, staff, now = merged[place % len(merged)], self.service.staff, at(self.model.now)
        self._try(self.model.unmerge(case), lambda s: staff.unmerge(s, case.number, "bob", "wrong", now))

    @precondition(lambda self: all(each.ends <= self.model.now for each in self.model.silences))
    @rule(device=device, lasts=seconds)
    def silence(self, device: str, lasts: int) -> None:
        self.model.silence(device, lasts)
        now = at(self.model.now)
        wanted = Silence(
            owner="alice", reason="work", zone="UTC", device=device, starts_at=now, ends_at=now + timedelta(0, lasts)
        )
        self._do(lambda session: self.service.silences.create(session, wanted, now))

    @precondition(lambda self: self.model.silences)
    @rule(place=place)
    def end_silence(self, place: int) -> None:
        number, service, now = place % len(self.model.silences), self.service.silences, at(self.model.now)
        self._try(self.model.end_silence(number), lambda s: service.end(s, number + 1, "bob", now))

    @invariant()
    def agrees(self) -> None:
        type(self).steps += 1
        assert self._do(_stored) == _expected(self.model)

    def _wait(self, passed: int) -> None:
        if passed:
            self.model.pass_time(passed)
            self._do(lambda session: self.service.tick(session, at(self.model.now)))

    def _case(self, place: int) -> ModelCase:
        return self.model.cases[place % len(self.model.cases)]

    def _signal(self, device: str, fault: str, phase: Phase, critical: bool) -> None:
        severity = Severity.CRITICAL if critical else Severity.WARNING
        finding = a_finding(phase, self.model.now, fault=fault, component="here", severity=severity)
        self._do(lambda session: self.service.apply_finding(session, device, finding, finding.at.wall))

    def _try(self, expected: bool, work: Work) -> None:
        try:
            self._do(work)
        except Refused:
            assert not expected, "the service refuses what the model allows"
        else:
            assert expected, "the service allows what the model refuses"

    def _do(self, work: Work) -> object:
        return self.runner.run(_in_transaction(self.database, work))


async def _in_transaction(database: Database, work: Work) -> object:
    async with database.begin() as session:
        return await work(session)


async def _emptied(session: AsyncSession) -> None:
    await session.execute(update(Episode).values(explained_by=None))
    await session.execute(update(SupportCase).values(merged_into=None))
    for table in TABLES:
        await session.execute(text(f"DELETE FROM {table}"))
    if session.get_bind().dialect.name == "postgresql":
        for table, key in (("support_case", "number"), ("silence", "number"), ("episode", "id")):
            await session.execute(text(f"ALTER SEQUENCE {table}_{key}_seq RESTART"))
    for name in PEOPLE:
        session.add(Account(name=name, password_hash="", created_at=NOON))
    for name in DEVICES:
        session.add(Device(device=name, first_seen=NOON, last_seen=NOON))


async def _stored(session: AsyncSession) -> object:
    cases = (await session.scalars(select(SupportCase).order_by(SupportCase.number))).all()
    episodes = (await session.scalars(select(Episode).order_by(Episode.id))).all()
    return (
        [
            (each.device, each.state, each.owner, each.first_owner, each.label, each.severity == Severity.CRITICAL)
            for each in cases
        ],
        [(each.device, each.fault, each.state, each.cleared_at is not None, each.case_number) for each in episodes],
    )


def _expected(model: ReferenceModel) -> object:
    return (
        [(each.device, each.state, each.owner, each.first_owner, each.label, each.critical) for each in model.cases],
        [
            (each.device, each.fault, each.state, each.cleared is not None, each.case.number if each.case else None)
            for each in model.episodes
        ],
    )


def walk(url: str, steps: int, *, derandomize: bool = False) -> int:
    """Walk at least so many steps on this database; return how many were compared."""
    with asyncio.Runner() as runner:
        database = Database(url)
        runner.run(database.migrate())
        machine = type("Walk", (Walk,), {"database": database, "runner": runner, "steps": 0})
        chosen = settings(
            max_examples=max(1, steps // STEPS_IN_A_WALK),
            stateful_step_count=STEPS_IN_A_WALK,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        try:
            while machine.steps < steps:  # type: ignore[attr-defined]
                run_state_machine_as_test(machine, settings=chosen)
        finally:
            runner.run(database.close())
        return int(machine.steps)  # type: ignore[attr-defined]


def main() -> int:
    """Walk on both databases and print the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000)
    steps = parser.parse_args().steps
    agreed = {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as a user of its own
        agreed["SQLite"] = walk(f"sqlite+aiosqlite:///{folder / 'walks.db'}", steps)
        with contextlib.suppress(FileNotFoundError):
            server = Postgres(folder / "server", "fsync=off")
            server.start()
            stack.callback(server.stop)
            agreed["PostgreSQL"] = walk(server.url, steps)
    print(json.dumps({"steps_that_agree": agreed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
