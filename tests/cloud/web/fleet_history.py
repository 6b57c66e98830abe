"""Two months of a fleet of 48 devices: customers, sites, cases with labels, telemetry; for pictures and for looking.

Everything goes through the case service as ingest does it, in the order of time, and is the same at each run.
"""

import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.outcomes import Advice, Cause, Noticed, Outcome
from cloud.inventory import Consent, CustomerEntry, DeviceEntry, SiteEntry, save_customer, save_site
from cloud.inventory.inventory import add_devices, add_places, columns_of
from cloud.store import queries
from cloud.store.database import Database
from cloud.store.outcome_tables import DeviceEvent
from cloud.store.streams import add_dead_letters
from cloud.store.tables import Device, Label, TelemetryChunk
from edge_agent.protocol.faults import FAULTS, DetectorKind, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Detector, Finding, Impact, Phase
from edge_agent.protocol.telemetry import Batch, Column, pack
from tests.cloud.web import seed

DAYS = 60
CUSTOMERS = {
    "Northfield Water": ("Mill Lane", "Harbour", "Reservoir East"),
    "Brandt Print": ("Hall 1", "Hall 2"),
    "Okafor Cold Storage": ("Dock A", "Dock B", "Airport"),
    "Terra Ceramics": ("Kiln house",),
    "Lindqvist Dairy": ("Plant Uppsala", "Plant Västerås"),
}
MODELS = (("Raspberry Pi 4 Model B", "2026-10"), ("Raspberry Pi 5", "2026-11"), ("CM4 gateway G2", "4.2.1"))
KINDS = ("pump", "press", "gateway", "kiln", "freezer", "meter")
# fault, component, how often, chance that it is true, lead time in hours
FAULTS_SEEN = (
    ("disk.filling", "/", 6, 0.9, 30.0),
    ("memory.leak", "memory", 5, 0.85, 9.0),
    ("thermal.throttling", "cpu_thermal", 5, 0.75, 14.0),
    ("service.failed", "camera-recorder.service", 4, 0.9, 3.0),
    ("inodes.filling", "/srv", 2, 0.8, 40.0),
    ("wifi.weak", "wlan0", 3, 0.55, 20.0),
    ("storage.io_errors", "mmcblk0p2", 2, 0.95, 50.0),
    ("power.undervoltage", "rpi_volt", 2, 0.7, 26.0),
)
VERSIONS = ((0, "0.9.4"), (25, "0.10.0"), (45, "0.11.2"))  # of detectors, by the day they came

_Do = Callable[[AsyncSession], Awaitable[None]]


@dataclass(frozen=True)
class _Event:
    at: datetime
    do: _Do


class History:
    """Makes the history and applies it."""

    def __init__(self, database: Database, case_service: CaseService, now: datetime) -> None:
        self._database, self._case_service, self._now = database, case_service, now
        self._random = random.Random(7)
        self._events: list[_Event] = []

    async def apply(self) -> dict[str, int]:
        """Apply all of it; return the case numbers of today's devices."""
        names = await self._add_devices()
        self._add_past(names)
        for event in sorted(self._events, key=lambda event: event.at):
            async with self._database.begin() as session:
                await event.do(session)
                await self._case_service.tick(session, event.at)
        numbers = await self._today(names)
        async with self._database.begin() as session:
            await self._add_places(session)
            await _add_telemetry(session, "pump-07", self._now)
            await self._add_events(session)
        return numbers

    async def _add_devices(self) -> list[str]:
        places = [(customer, site) for customer, sites in CUSTOMERS.items() for site in sites]
        names = []
        async with self._database.begin() as session:
            for number in range(41):
                name = f"{KINDS[number % len(KINDS)]}-{number + 30}"
                hardware, firmware = MODELS[number % 3]
                customer, site = places[(number * 5) % len(places)]
                session.add(
                    seed.device(
                        name, self._now, customer=customer, site=site, hardware=hardware, firmware=firmware,
                        first_seen=self._now - timedelta(days=DAYS + 20 - number % 25),
                        last_seen=self._now - timedelta(seconds=3 + number),
                        agent="0.11.2" if number % 5 else "0.10.0", metrics=38 + number % 9, owner="",
                        presence="going_down" if number == 17 else "online",
                    )
                )  # fmt: skip
                names.append(name)
        await seed.add_fleet(self._database, self._now)
        return names

    def _add_past(self, names: list[str]) -> None:
        for fault, component, days in (("thermal.throttling", "cpu_thermal", 31), ("wifi.weak", "wlan0", 22)):
            self._add_case("pump-07", fault, component, days, (1.0, 9.0))
        self._add_case("pump-07", "storage.io_errors", "mmcblk0p2", 9.4, (1.0, 40.0))
        for fault, component, often, truth, lead_h in FAULTS_SEEN:
            for _ in range(often * 4):
                day = self._random.uniform(1.5, DAYS - 1)
                self._add_case(self._random.choice(names), fault, component, day, (truth, lead_h))

    def _add_case(self, device: str, fault: str, component: str, days_ago: float, chances: tuple[float, float]) -> None:
        at = self._now - timedelta(days=days_ago)
        better = 0.12 if DAYS - days_ago > VERSIONS[1][0] else -0.08
        is_true = self._random.random() < chances[0] + better
        lead = timedelta(hours=chances[1] * self._random.uniform(0.5, 1.6))
        finding = self._finding(fault, component, at, lead, Phase.OPEN)
        self._at(at, lambda session: self._case_service.apply_finding(session, device, finding, at))
        took, closed = self._random.uniform(0.1, 2.0), self._random.uniform(3.0, 30.0)
        who = self._random.choice(("alice", "bob"))
        self._at(at + timedelta(hours=took), lambda session: self._take(session, device, who, at))
        over = at + timedelta(hours=closed)
        clear = self._finding(fault, component, over, lead, Phase.CLEAR)
        self._at(over, lambda session: self._case_service.apply_finding(session, device, clear, over))
        done = over + timedelta(hours=2)
        impact_at = at + lead * self._random.uniform(0.7, 1.2)
        outcome = self._outcome(fault, is_true, min(impact_at, done - timedelta(minutes=5)))
        self._at(done, lambda session: self._close(session, device, who, outcome, done))

    def _at(self, at: datetime, do: _Do) -> None:
        if at < self._now - timedelta(minutes=5):
            self._events.append(_Event(at, do))

    def _outcome(self, fault: str, is_true: bool, impact_at: datetime) -> Outcome:
        if not is_true:
            label = self._random.choice((Label.FALSE_ALARM, Label.EXPECTED, Label.NO_FAULT_FOUND))
            return Outcome(label=label, cause=Cause.PLANNED_WORK if label is Label.EXPECTED else Cause.DETECTION)
        first = self._random.random() < 0.12
        return Outcome(
            label=Label.TRUE_FAULT,
            cause=Cause.CAPACITY if "filling" in fault else Cause.HARDWARE,
            noticed=Noticed.YES if first else Noticed.NO,
            advice=Advice.WORKED if self._random.random() < 0.8 else Advice.FAILED,
            impact_at=None if first else impact_at,
        )

    def _finding(self, fault: str, component: str, at: datetime, lead: timedelta, phase: Phase) -> Finding:
        known, seconds = FAULTS[fault], lead.total_seconds()
        day = DAYS - (self._now - at).total_seconds() / 86_400
        version = next(name for begin, name in reversed(VERSIONS) if day >= begin or begin == 0)
        instant = Instant(boot_id=str(self._id()), uptime_s=seed.UPTIME_S, wall=at, synced=True)
        is_trend = known.detector is DetectorKind.TREND
        return Finding(
            finding_id=str(self._id()), fault=fault, component=component, phase=phase, at=instant, since=instant,
            severity=known.severity, confidence=self._random.uniform(0.72, 0.97),
            impact=Impact(low_s=seconds * 0.7, likely_s=seconds, high_s=seconds * 1.5) if is_trend else None,
            reason=f"{known.title} on {component}.",
            detector=Detector(judge=known.detector, version=version),
        )  # fmt: skip

    def _id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)

    async def _case_of(self, session: AsyncSession, device: str) -> int | None:
        lines = await queries.inbox(session, queries.CaseFilter(devices=frozenset({device})), 1)
        return lines[0].case.number if lines else None

    async def _take(self, session: AsyncSession, device: str, who: str, at: datetime) -> None:
        if number := await self._case_of(session, device):
            await self._case_service.staff.take(session, number, who, at + timedelta(minutes=20))

    async def _close(self, session: AsyncSession, device: str, who: str, outcome: Outcome, at: datetime) -> None:
        if number := await self._case_of(session, device):
            await self._case_service.staff.close(session, number, who, outcome, at)

    async def _today(self, names: list[str]) -> dict[str, int]:
        """Today's stories, three leaks of one firmware, an absent device and the watch list."""
        numbers = await seed.tell_a_day(self._database, self._case_service, self._now)
        presses = [name for name in names if name.startswith("press")][:4]
        for place, name in enumerate(presses):
            at = self._now - timedelta(minutes=50 - 9 * place)
            lead = timedelta(hours=6 + place)
            await self._tell(name, self._finding("memory.leak", "memory", at, lead, Phase.OPEN), at)
        at = self._now - timedelta(hours=3)
        await self._tell(names[9], self._finding("device.absent", "connection", at, timedelta(), Phase.OPEN), at)
        watched = (
            ("disk.slow", "mmcblk0", 0.61),
            ("thermal.cooling", "cpu_thermal", 0.48),
            ("load.unexplained", "load", 0.4),
        )
        for place, (fault, component, confidence) in enumerate(watched * 3):
            at = self._now - timedelta(hours=5 + 7 * place)
            found = self._finding(fault, component, at, timedelta(hours=9), Phase.OPEN)
            found = found.model_copy(update={"severity": Severity.INFO, "confidence": confidence + 0.02 * place})
            await self._tell(names[place * 4], found, at)
        return numbers

    async def _tell(self, device: str, finding: Finding, at: datetime) -> None:
        async with self._database.begin() as session:
            await self._case_service.apply_finding(session, device, finding, at)
            await self._case_service.tick(session, self._now)

    async def _add_places(self, session: AsyncSession) -> None:
        entries = [DeviceEntry(device="x", customer=c, site=s) for c, sites in CUSTOMERS.items() for s in sites]
        await add_places(session, entries, "alice", self._now)
        customer = CustomerEntry(
            name="Northfield Water", contact="Control room, +44 20 7946 0018", note="Call before 17:00."
        )
        await save_customer(session, customer, 1, "alice", self._now)
        site = SiteEntry(
            customer="Northfield Water", name="Mill Lane", address="1 Mill Lane, Northfield", zone="Europe/London"
        )
        await save_site(session, site, 1, "alice", self._now)
        pump = await session.get_one(Device, "pump-07")
        known = DeviceEntry(
            device="pump-07", customer="Northfield Water", site="Mill Lane", owner="Field team", tags="outdoor pump",
            consent=Consent.TELEMETRY, note="Key at the gate house.",
        )  # fmt: skip
        pump.agent, pump.first_seen = "0.11.2", self._now - timedelta(days=52)
        for name, value in columns_of(known).items():
            setattr(pump, name, value)
        new = [DeviceEntry(device=f"freezer-{n}", customer="Lindqvist Dairy", site="Plant Uppsala") for n in (90, 91)]
        await add_devices(session, new, self._now)

    async def _add_events(self, session: AsyncSession) -> None:
        def event(hours: float, kind: str, before: str, after: str) -> DeviceEvent:
            at = self._now - timedelta(hours=hours)
            return DeviceEvent(device="pump-07", at=at, kind=kind, before=before, after=after)

        session.add_all(
            [
                event(960, "boot", "", "b1"), event(700, "agent", "0.9.4", "0.10.0"),
                event(400, "firmware", "2026-09", "2026-10"),
                event(399, "boot", "b1", "b2"), event(120, "agent", "0.10.0", "0.11.2"),
            ]
        )  # fmt: skip
        gaps = [(400, 399.8), (211, 209.5), (72, 71.9)]
        for begin, end in gaps:
            session.add_all(
                [event(begin, "connection", "online", "offline"), event(end, "connection", "offline", "online")]
            )
        used = "record {}: the number was used before, for another record, which is kept"
        letters = [(used.format(4100 + number), "pump-07", b'{"kind": "finding"}') for number in range(2)]
        letters += [("not CBOR: unexpected end", "meter-35", bytes(range(40)))] * 5
        rows = [
            {
                "received_at": self._now - timedelta(hours=number),
                "topic": f"forewarn/v1/{name}/findings",
                "device": name,
                "cause": cause,
                "payload": payload,
            }
            for number, (cause, name, payload) in enumerate(letters)
        ]
        await add_dead_letters(session, rows, 1000)


async def _add_telemetry(session: AsyncSession, device: str, now: datetime) -> None:
    """Eight days of hourly batches of four series: mean, lowest and highest of five minutes each."""

    def value(series: str, at: float) -> float:
        hour = at / 3600
        return {
            seed.HEAT: 52 + 6 * math.sin(hour * math.tau / 24) + 1.2 * math.sin(hour * 2.3),
            seed.CPU: 0.2 + 0.08 * math.sin(hour * math.tau / 24 + 1) + 0.03 * math.sin(hour * 5),
            seed.MEMORY: (820 + 60 * math.sin(hour / 9)) * (1 << 20),
            seed.DISK: min(29.6, 22 + (hour % 200) * 0.04) * seed.GIB,
        }[series]

    units = {
        seed.HEAT: ("Cel", 0.1, 0.8),
        seed.CPU: ("1", 0.001, 0.06),
        seed.MEMORY: ("By", 4096, 2e7),
        seed.DISK: ("By", 4096, 1e7),
    }
    hours = [now - timedelta(hours=hour) for hour in range(192, 0, -1)]
    for number, (begin, _) in enumerate(pairwise([*hours, now])):
        times = [begin.timestamp() + 300 * row for row in range(12)]
        columns = [
            Column(series=series, aggregate=aggregate, unit=unit, resolution=resolution,
                   values=np.array([value(series, at) + sign * spread for at in times]))
            for aggregate, sign in (("mean", 0), ("min", -1), ("max", 1))
            for series, (unit, resolution, spread) in units.items()
        ]  # fmt: skip
        start = Instant(boot_id=str(UUID(int=1)), uptime_s=3600.0 * number, wall=begin, synced=True)
        body = pack(Batch(start=start, period_s=300.0, columns=tuple(columns)))
        session.add(
            TelemetryChunk(
                device=device, stream=str(UUID(int=2)), seq=number + 1, start_at=begin, body=body, received_at=begin
            )
        )
