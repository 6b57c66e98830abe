"""What staff labelled becomes training data that `models train machine --labels` reads."""

import asyncio
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Label, Outcome
from cloud.cli import main
from cloud.outcomes import outcome_followers
from cloud.outcomes.label_export import LabelFolder, export_labels, labelled_episodes
from cloud.store.database import Database
from cloud.store.tables import Device, RecordRow, TelemetryChunk
from edge_agent.protocol import telemetry
from edge_agent.protocol.records import Finding, Phase
from firmware_stubs.faults import PumpFault
from firmware_stubs.pump import FAST_CHANNELS, VirtualPump, series_of
from models.machine.episodes import labelled_episode, read_labels
from tests.builders import NOON, STREAM, a_finding, an_instant

MACHINE = "Feed pump"
SERIES = [series_of(MACHINE)[channel] for channel in FAST_CHANNELS]
BEGINS_S, ENDS_S = 3000, 3600  # of the fault, after noon; uptime is an hour more
SERVICE = CaseService(Rules(), outcome_followers())


async def a_device(session: AsyncSession, name: str, *, fault: bool, full_rate: bool = True) -> None:
    """A device whose pump runs for an hour and a quarter, with telemetry each second."""
    faults = (PumpFault(kind="bearing-wear", start_s=BEGINS_S, lasts_s=300),) if fault else ()
    pump = VirtualPump(name, faults)
    session.add(Device(device=name, first_seen=NOON, last_seen=NOON))
    await session.flush()
    for minute in range(75):
        readings = [pump.read(60.0 * minute + second) for second in range(60)]
        columns = tuple(
            telemetry.Column(
                series=series, aggregate="last" if full_rate else "mean", unit="1", resolution=0.0001,
                values=np.round([reading[channel] for reading in readings], 4),
            )
            for channel, series in zip(FAST_CHANNELS, SERIES, strict=True)
        )  # fmt: skip
        start = an_instant(60.0 * minute)
        body = telemetry.pack(telemetry.Batch(start=start, period_s=1.0, columns=columns))
        row = TelemetryChunk(
            device=name, stream=STREAM, seq=minute + 1, start_at=start.wall, body=body, received_at=start.wall
        )
        session.add(row)


async def report(session: AsyncSession, name: str, *findings: Finding) -> None:
    for seq, finding in enumerate(findings, 1):
        body = finding.model_dump(mode="json")
        row = RecordRow(
            device=name, lane="findings", stream=STREAM, seq=seq, kind="finding", body=body, received_at=finding.at.wall
        )
        session.add(row)
        await SERVICE.apply_finding(session, name, finding, finding.at.wall)
        await SERVICE.tick(session, finding.at.wall + timedelta(seconds=6))


async def a_labelled_case(session: AsyncSession, name: str, number: int, label: Label) -> None:
    opened = a_finding(Phase.OPEN, BEGINS_S + 20, fault="machine.anomaly", component=MACHINE, since_s=BEGINS_S + 10)
    cleared = a_finding(Phase.CLEAR, ENDS_S, fault="machine.anomaly", component=MACHINE, since_s=BEGINS_S + 10)
    await report(session, name, opened, cleared)
    await SERVICE.staff.close(session, number, "alice", Outcome(label=label), NOON + timedelta(hours=2))


async def some_cases(session: AsyncSession) -> None:
    await a_device(session, "plant-1", fault=True)
    await a_labelled_case(session, "plant-1", 1, Label.TRUE_FAULT)
    await a_device(session, "plant-2", fault=False)
    await a_labelled_case(session, "plant-2", 2, Label.EXPECTED)
    await a_device(session, "plant-3", fault=True, full_rate=False)
    await a_labelled_case(session, "plant-3", 3, Label.TRUE_FAULT)
    await a_device(session, "plant-4", fault=True)
    await a_labelled_case(session, "plant-4", 4, Label.DUPLICATE)


async def test_a_true_fault_is_a_labelled_recording_and_anything_else_a_healthy_one(
    database: Database, tmp_path: Path
) -> None:
    async with database.begin() as session:
        await some_cases(session)
    async with database.read() as session:
        exported = await export_labels(session, LabelFolder(tmp_path / "out"), "machine.anomaly")
    assert [episode.device for episode in exported.written] == ["plant-1", "plant-2"]
    assert [episode.device for episode in exported.missing] == ["plant-3"]

    labels = read_labels(tmp_path / "out" / "labels.csv")
    assert labels == {"plant-1-case-1-1.csv": [(3600.0 + BEGINS_S + 10, 3600.0 + ENDS_S)]}
    fault = labelled_episode(tmp_path / "out" / "plant-1-case-1-1.csv", SERIES, labels["plant-1-case-1-1.csv"], 2000)
    assert fault.rows.shape == (2400 + 590 + 120 + 1, len(SERIES))
    assert int(fault.labels.sum()) == ENDS_S - BEGINS_S - 10 + 1
    assert not fault.labels[:2400].any()
    pump = VirtualPump("plant-1", (PumpFault(kind="bearing-wear", start_s=BEGINS_S, lasts_s=300),))
    first = pump.read(BEGINS_S + 10 - 2400.0)
    assert fault.rows[0] == pytest.approx([first[channel] for channel in FAST_CHANNELS], abs=1e-4)
    healthy = labelled_episode(tmp_path / "out" / "plant-2-case-2-2.csv", SERIES, [], 2000)
    assert not healthy.labels.any()


async def test_the_command_writes_the_folder_and_names_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}")
    await database.migrate()
    async with database.begin() as session:
        await some_cases(session)
    await database.close()

    arguments = ["labels", "export", "--data", str(tmp_path), "--out", str(tmp_path / "labels")]
    assert await asyncio.to_thread(main, arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'labels'}: 2 recordings, 1 with a fault, and labels.csv",
        "left out: case 3, Feed pump at plant-3: no telemetry at full rate "
        '(telemetry.profile = "full") is kept of that time',
    ]
    assert await asyncio.to_thread(main, arguments) == 1
    assert "File exists" in capsys.readouterr().err


async def test_an_open_case_and_another_component_are_not_exported(session: AsyncSession) -> None:
    await a_device(session, "plant-1", fault=True)
    await report(session, "plant-1", a_finding(fault="machine.anomaly", component=MACHINE, since_s=-10))
    assert await labelled_episodes(session, "machine.anomaly") == []
    await SERVICE.staff.close(session, 1, "alice", Outcome(label=Label.TRUE_FAULT), NOON)
    assert len(await labelled_episodes(session, "machine.anomaly", MACHINE)) == 1
    assert await labelled_episodes(session, "machine.anomaly", "Freezer") == []
