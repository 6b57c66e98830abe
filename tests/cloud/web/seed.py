"""A day of a small fleet: devices, findings and evidence, applied through the case service as ingest does it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from cloud.case_service import CaseService
from cloud.cases.outcomes import Cause, Noticed, Outcome
from cloud.store import queries
from cloud.store.database import Database
from cloud.store.tables import Device, Label, LossRow
from edge_agent.protocol.faults import FAULTS, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series
from edge_agent.protocol.records import (
    Carrier,
    Detector,
    Evidence,
    EvidencePart,
    Finding,
    Impact,
    Line,
    Phase,
    Series,
    Threshold,
)

GIB = 1 << 30
UPTIME_S = 400_000.0  # of every device at the moment of its finding
DISK = series("system.filesystem.usage", system__filesystem__mountpoint="/", system__filesystem__state="used")
MEMORY = series("system.linux.memory.available")
HEAT = series("hw.temperature", hw__name="cpu_thermal")
NETWORK = series("system.network.io", network__io__direction="transmit")
CPU = series("system.cpu.utilization", cpu__mode="user")
INODES = series("system.filesystem.inodes.usage", system__filesystem__mountpoint="/srv")


@dataclass(frozen=True, kw_only=True)
class Story:
    """What one device says, `ago_s` before now, and on what evidence."""

    device: str
    fault: str
    component: str
    ago_s: float
    reason: str
    severity: Severity | None = None
    impact: tuple[float, float, float] | None = None
    curves: tuple[tuple[str, str, Callable[[float], float]], ...] = ()  # series, unit, value at t (0 = detection)
    threshold: Threshold | None = None
    line: Line | None = None
    carriers: tuple[Carrier, ...] = ()
    before_s: float = 1800.0
    after_s: float = 600.0
    events: tuple[str, ...] = ()
    confidence: float = 0.93
    evidence_id: str = field(default_factory=lambda: str(uuid4()))


def wobble(t: float, size: float) -> float:
    """Something that looks measured, and is the same each time."""
    return size * (math.sin(t / 7.3) + 0.6 * math.sin(t / 2.9 + 1) + 0.3 * math.sin(t / 41))


def device(name: str, now: datetime, **columns: object) -> Device:
    """A device that was seen just now."""
    known = {
        "first_seen": now - timedelta(days=40),
        "last_seen": now - timedelta(seconds=4),
        "presence": "online",
        "agent": "0.1.0",
        "hardware": "Raspberry Pi 4 Model B",
        "firmware": "2026-10",
        "model": "quiet-1",
        "metrics": 42,
    }
    return Device(device=name, **(known | columns))


FLEET: tuple[tuple[str, dict[str, object]], ...] = (
    ("pump-07", {"customer": "Northfield Water", "site": "Mill Lane"}),
    ("pump-11", {"customer": "Northfield Water", "site": "Harbour"}),
    ("press-12", {"customer": "Brandt Print", "site": "Hall 2", "firmware": "2026-08"}),
    ("gateway-03", {"customer": "Okafor Cold Storage", "site": "Dock B", "hardware": "Raspberry Pi 5"}),
    ("kiln-02", {"customer": "Terra Ceramics"}),
    ("meter-21", {}),
    ("pump-02", {"presence": "offline"}),
)


def stories() -> tuple[Story, ...]:
    """The cases of the day, from the oldest to the newest."""
    return (
        Story(
            device="pump-02",
            fault="thermal.throttling",
            component="cpu_thermal",
            ago_s=30 * 3600,
            reason="84 °C on average over 15 min, and above 80 °C all that time.",
            curves=((HEAT, "Cel", lambda t: 78 + 6 / (1 + math.exp(-t / 200)) + wobble(t, 0.3)),),
            threshold=Threshold(metric=HEAT, value=80, meaning="the firmware slows the cores down"),
        ),
        Story(
            device="pump-11",
            fault="inodes.filling",
            component="/srv",
            ago_s=5 * 3600,
            reason="/srv uses 1.9 of 2.1 million inodes, 2.4 more each second for 50 min.",
            impact=(15 * 3600, 20 * 3600, 29 * 3600),
            curves=((INODES, "{inode}", lambda t: 1_900_000 + 2.4 * t + wobble(t, 40)),),
            threshold=Threshold(metric=INODES, value=2_100_000, meaning="no inode is left"),
            line=Line(metric=INODES, value_at_detection=1_900_000, slope_per_s=2.4),
            confidence=0.81,
        ),
        Story(
            device="meter-21",
            fault="anomaly.unknown",
            component=NETWORK,
            ago_s=2 * 3600,
            severity=Severity.WARNING,
            reason="Three metrics behave as they never have on this device since its baseline began.",
            curves=(
                (NETWORK, "By/s", lambda t: (4_000 if t < -600 else 310_000) + wobble(t, 900)),
                (CPU, "1", lambda t: (0.06 if t < -600 else 0.31) + wobble(t, 0.01)),
                (
                    HEAT,
                    "Cel",
                    lambda t: 46 + 9 * (1 - math.exp(-max(0.0, t + 600) / 500)) + wobble(t, 0.2),
                ),
            ),
            carriers=(
                Carrier(metric=NETWORK, value=311_000, unit="By/s", expected_low=500, expected_high=9_000, share=0.58),
                Carrier(metric=CPU, value=0.31, unit="1", expected_low=0.02, expected_high=0.11, share=0.27),
                Carrier(metric=HEAT, value=54.2, unit="Cel", expected_low=43, expected_high=49, share=0.15),
            ),
            confidence=0.71,
        ),
        Story(
            device="kiln-02",
            fault="thermal.throttling",
            component="cpu_thermal",
            ago_s=3100,
            reason="82.6 °C on average over 15 min, and above 80 °C for 11 min.",
            curves=((HEAT, "Cel", lambda t: 71 + 12 / (1 + math.exp(-(t + 500) / 180)) + wobble(t, 0.35)),),
            threshold=Threshold(metric=HEAT, value=80, meaning="the firmware slows the cores down"),
            carriers=(Carrier(metric=HEAT, value=82.6, unit="Cel", expected_low=58, expected_high=72, share=1.0),),
        ),
        Story(
            device="pump-07",
            fault="disk.filling",
            component="/",
            ago_s=1500,
            reason="/ grows by 0.49 GiB an hour since 50 min, and has 1.6 GiB left.",
            impact=(9_900, 11_800, 14_600),
            curves=((DISK, "By", lambda t: (29.6 + max(t, -1300) * 0.000136 + wobble(t, 0.006)) * GIB),),
            threshold=Threshold(metric=DISK, value=31.2 * GIB, meaning="full"),
            line=Line(metric=DISK, value_at_detection=29.6 * GIB, slope_per_s=0.000136 * GIB),
            carriers=(Carrier(metric=DISK, value=29.6 * GIB, unit="By", expected_high=31.2 * GIB, share=1.0),),
            events=("systemd: camera-recorder.service restarted",),
        ),
        Story(
            device="gateway-03",
            fault="memory.leak",
            component="memory",
            ago_s=240,
            reason="Available memory falls by 21 MiB a minute since 35 min, and 214 MiB are left.",
            impact=(430, 560, 760),
            curves=((MEMORY, "By", lambda t: (214 - t * 0.35 + wobble(t, 3)) * (1 << 20)),),
            threshold=Threshold(metric=MEMORY, value=32 * (1 << 20), meaning="the kernel kills a program"),
            line=Line(metric=MEMORY, value_at_detection=214 * (1 << 20), slope_per_s=-0.35 * (1 << 20)),
            after_s=0,
        ),
        Story(
            device="press-12",
            fault="storage.read_only",
            component="/var/lib/press",
            ago_s=95,
            reason="/var/lib/press was mounted for writing, and refuses writes for 60 s.",
            events=(
                "kernel: EXT4-fs error (device mmcblk0p2): ext4_journal_check_start: Detected aborted journal",
                "kernel: EXT4-fs (mmcblk0p2): Remounting filesystem read-only",
            ),
            confidence=1.0,
        ),
    )


async def add_fleet(database: Database, now: datetime) -> None:
    """Put the devices in."""
    async with database.begin() as session:
        session.add_all([device(name, now, **columns) for name, columns in FLEET])


async def tell(database: Database, case_service: CaseService, story: Story, now: datetime) -> int:
    """Let a device say its finding and send its evidence; return the number of the case."""
    at = now - timedelta(seconds=story.ago_s)
    instant = Instant(boot_id=str(uuid4()), uptime_s=UPTIME_S, wall=at, synced=True)
    finding = finding_of(story, instant)
    async with database.begin() as session:
        await case_service.apply_finding(session, story.device, finding, at)
        for pack in packs_of(story, finding):
            await case_service.apply_evidence(session, story.device, pack, pack.at.wall + timedelta(seconds=1))
    async with database.read() as session:
        lines = await queries.inbox(session, queries.CaseFilter(devices=frozenset({story.device})), 1)
        return lines[0].case.number


def finding_of(story: Story, at: Instant) -> Finding:
    """The finding of a story, true for a minute when it is said."""
    fault = FAULTS[story.fault]
    since = Instant(boot_id=at.boot_id, uptime_s=at.uptime_s - 60, wall=at.wall - timedelta(seconds=60), synced=True)
    impact = Impact(low_s=story.impact[0], likely_s=story.impact[1], high_s=story.impact[2]) if story.impact else None
    return Finding(
        finding_id=str(uuid4()),
        fault=story.fault,
        component=story.component,
        phase=Phase.OPEN,
        at=at,
        since=since,
        severity=story.severity or fault.severity,
        confidence=story.confidence,
        impact=impact,
        reason=story.reason,
        carriers=story.carriers,
        detector=Detector(judge=fault.detector, version="quiet-1" if fault.detector == "model" else "0.1.0"),
        evidence_id=story.evidence_id if story.curves else None,
    )


def packs_of(story: Story, finding: Finding) -> Sequence[Evidence]:
    """Both halves of a story's evidence, at one reading in five seconds."""
    spans = [(EvidencePart.BEFORE, -story.before_s, 0.0)]
    if story.after_s and story.ago_s > story.after_s:
        spans.append((EvidencePart.AFTER, 5.0, story.after_s))
    if not story.curves:
        return []
    return [_pack(story, finding, part, start, end) for part, start, end in spans]


def _pack(story: Story, finding: Finding, part: EvidencePart, start: float, end: float) -> Evidence:
    steps = [start + 5.0 * i for i in range(int((end - start) / 5) + 1)]
    frozen = max(0.0, end)
    at = Instant(
        boot_id=finding.at.boot_id,
        uptime_s=UPTIME_S + frozen,
        wall=finding.at.wall + timedelta(seconds=min(frozen, story.ago_s)),
        synced=True,
    )
    return Evidence(
        evidence_id=story.evidence_id,
        finding_id=finding.finding_id,
        part=part,
        at=at,
        detected_uptime_s=UPTIME_S,
        series=tuple(
            Series(
                metric=metric,
                unit=unit,
                uptime_s=tuple(UPTIME_S + t for t in steps),
                values=tuple(value(t) for t in steps),
                role="judged",
            )
            for metric, unit, value in story.curves
        ),
        threshold=story.threshold,
        line=story.line,
        events=story.events,
        detector=finding.detector,
    ).sealed()


async def a_day(database: Database, case_service: CaseService, now: datetime) -> dict[str, int]:
    """Tell all stories; Alice and Bob have been at work. Returns the case number of each device."""
    await add_fleet(database, now)
    return await tell_a_day(database, case_service, now)


async def tell_a_day(database: Database, case_service: CaseService, now: datetime) -> dict[str, int]:
    """Tell all stories of devices that are there."""
    numbers = {story.device: await tell(database, case_service, story, now) for story in stories()}
    async with database.begin() as session:
        await case_service.staff.take(session, numbers["pump-11"], "bob", now - timedelta(hours=4))
        await case_service.staff.note(
            session,
            numbers["pump-11"],
            "bob",
            "Customer says a new scanner writes one file per scan. Calls back after lunch.",
            now - timedelta(hours=3, minutes=50),
        )
        await case_service.staff.take(session, numbers["kiln-02"], "alice", now - timedelta(minutes=30))
        await case_service.staff.close(
            session,
            numbers["pump-02"],
            "alice",
            Outcome(label=Label.TRUE_FAULT, cause=Cause.HARDWARE, noticed=Noticed.NO, note="Fan was stuck."),
            now - timedelta(hours=28),
        )
        session.add(
            LossRow(
                device="gateway-03", lane="telemetry", stream=str(uuid4()), first_seq=41, last_seq=46,
                reason="the agent stopped without writing down what it held in memory",
                declared_at=now - timedelta(hours=2),
            )
        )  # fmt: skip
    return numbers
