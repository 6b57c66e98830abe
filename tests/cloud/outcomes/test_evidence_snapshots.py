"""What a case was opened on stays readable, whatever expires, and can be taken along as files."""

import csv
import io
import json
from datetime import timedelta

import httpx
import numpy as np
import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.outcomes import outcome_followers
from cloud.outcomes.evidence_snapshots import SEALED_AFTER, EvidenceSnapshots
from cloud.outcomes.snapshot_body import digest
from cloud.store.database import Database
from cloud.store.outcome_tables import DeviceEvent, EvidenceSnapshot
from cloud.store.streams import prune_telemetry
from cloud.store.tables import Device, EvidenceRow, TelemetryChunk
from edge_agent.protocol import telemetry
from edge_agent.protocol.records import Carrier, EvidencePart, Finding
from tests.builders import DEVICE, NOON, STREAM, a_finding, an_evidence, an_id, an_instant
from tests.cloud.web import seed
from tests.cloud.web.conftest import NOW

USED = "system.filesystem.usage{system.filesystem.state=used}"


def a_disk_finding() -> Finding:
    carrier = Carrier(metric=USED, value=4.0, unit="By", expected_low=1.0, expected_high=2.0, share=1.0)
    return a_finding(evidence_id=an_id(2)).model_copy(update={"carriers": (carrier,)})


@pytest.fixture
def snapshots() -> EvidenceSnapshots:
    return EvidenceSnapshots()


async def opened(session: AsyncSession, service: CaseService, snapshots: EvidenceSnapshots) -> EvidenceSnapshot:
    """Open a case with the first half of its evidence, on a device that was updated, beside a peer with telemetry."""
    device = await session.get_one(Device, DEVICE)
    peer = await session.get_one(Device, "pump-08")
    device.hardware = peer.hardware = "Pi 5"
    before = NOON - timedelta(hours=3)
    event = DeviceEvent(device=DEVICE, at=before, kind="firmware", before="fw-3", after="fw-4")
    column = telemetry.Column(
        series=USED, aggregate="last", unit="By", resolution=0.5, values=np.array([1.0, 1.5, 2.0])
    )
    chunk = telemetry.pack(telemetry.Batch(start=an_instant(-600), period_s=1.0, columns=(column,)))
    row = TelemetryChunk(device="pump-08", stream=STREAM, seq=1, start_at=NOON, body=chunk, received_at=NOON)
    session.add_all([event, row])
    await service.apply_finding(session, DEVICE, a_disk_finding(), NOON)
    await service.tick(session, NOON + timedelta(seconds=6))
    await service.apply_evidence(session, DEVICE, an_evidence(), NOON + timedelta(seconds=7))
    assert await snapshots.tick(session, NOON + timedelta(seconds=8))
    (snapshot,) = (await session.scalars(select(EvidenceSnapshot))).all()
    return snapshot


async def test_a_snapshot_holds_series_limit_detector_what_else_happened_and_peers(
    session: AsyncSession, service: CaseService, snapshots: EvidenceSnapshots
) -> None:
    row = await opened(session, service, snapshots)
    body = row.body
    (series,) = body["series"]
    assert series["at"] == [NOON.timestamp() + at for at in (-4, -3, -2, -1)]
    assert series["values"] == [1.0, 2.0, None, 4.0]
    assert body["detected_at"] == NOON.timestamp()
    assert body["finding"]["carriers"][0]["expected_high"] == 2.0
    assert body["finding"]["detector"] == {"judge": "trend", "version": "0.1.0"}
    assert body["happened"] == [
        {"at": NOON.timestamp() - 10_800, "text": "Firmware changed from fw-3 to fw-4."},
    ]
    assert body["peers"] == [{"device": "pump-08", "metric": USED, "unit": "By", "mean": 1.5, "low": 1.0, "high": 2.0}]
    assert row.sha256 == digest(body)


async def test_the_second_half_is_added_once_and_then_the_snapshot_is_sealed(
    session: AsyncSession, service: CaseService, snapshots: EvidenceSnapshots
) -> None:
    row = await opened(session, service, snapshots)
    assert not await snapshots.tick(session, NOON + timedelta(minutes=1))
    await service.apply_evidence(
        session, DEVICE, an_evidence(EvidencePart.AFTER, after_s=60), NOON + timedelta(minutes=2)
    )
    assert await snapshots.tick(session, NOON + timedelta(minutes=2))
    assert [series["part"] for series in row.body["series"]] == ["before", "after"]
    sealed_at = NOON + timedelta(seconds=6) + SEALED_AFTER
    assert await snapshots.tick(session, sealed_at)
    assert (row.state, await snapshots.tick(session, sealed_at)) == ("sealed", False)


async def test_it_is_readable_after_all_that_it_was_taken_from_has_expired(
    session: AsyncSession, service: CaseService, snapshots: EvidenceSnapshots
) -> None:
    row = await opened(session, service, snapshots)
    before = (row.body, row.sha256)
    await snapshots.tick(session, NOON + timedelta(hours=1))
    await prune_telemetry(session, NOON + timedelta(days=400), 30)
    await session.execute(delete(EvidenceRow))
    assert (await session.scalars(select(TelemetryChunk))).all() == []
    await snapshots.tick(session, NOON + timedelta(days=400))
    await session.refresh(row)
    assert (row.body, row.sha256) == before


async def test_a_fault_that_joins_the_case_has_a_snapshot_of_its_own(
    session: AsyncSession, service: CaseService, snapshots: EvidenceSnapshots
) -> None:
    await opened(session, service, snapshots)
    await service.apply_finding(session, DEVICE, a_finding(fault="memory.leak", component="memory", after_s=60), NOON)
    await service.tick(session, NOON + timedelta(seconds=70))
    await snapshots.tick(session, NOON + timedelta(seconds=71))
    rows = (await session.scalars(select(EvidenceSnapshot).order_by(EvidenceSnapshot.id))).all()
    assert [row.fault for row in rows] == ["disk.filling", "memory.leak"]


async def test_a_restart_neither_misses_a_snapshot_nor_makes_one_twice(
    session: AsyncSession, service: CaseService, snapshots: EvidenceSnapshots
) -> None:
    await opened(session, service, snapshots)
    await service.apply_finding(session, "pump-08", a_finding(finding_id=an_id(8)), NOON)
    await service.tick(session, NOON + timedelta(seconds=70))
    assert await EvidenceSnapshots().tick(session, NOON + timedelta(minutes=2))
    rows = (await session.scalars(select(EvidenceSnapshot).order_by(EvidenceSnapshot.id))).all()
    assert [(row.case_number, row.state) for row in rows] == [(1, "built"), (2, "built")]


async def test_a_case_without_evidence_has_an_empty_snapshot(
    session: AsyncSession, service: CaseService, snapshots: EvidenceSnapshots
) -> None:
    await service.apply_finding(session, DEVICE, a_finding(), NOON)
    await service.tick(session, NOON + timedelta(seconds=6))
    await snapshots.tick(session, NOON + timedelta(seconds=7))
    (row,) = (await session.scalars(select(EvidenceSnapshot))).all()
    assert (row.body["series"], row.body["peers"], row.body["happened"]) == ([], [], [])


@pytest.fixture
async def files(staffed: Database, numbers: dict[str, int], snapshots: EvidenceSnapshots) -> dict[str, str]:
    """The address of each case's snapshot, without its ending."""
    async with staffed.begin() as session:
        while await snapshots.tick(session, NOW):
            pass
        rows = (await session.scalars(select(EvidenceSnapshot))).all()
    devices = {number: device for device, number in numbers.items()}
    return {devices[row.case_number]: f"/api/v1/cases/{row.case_number}/evidence/{row.id}" for row in rows}


async def test_one_specification_is_drawn_in_the_page_and_downloaded_as_svg_png_csv_and_json(
    alice: httpx.AsyncClient, files: dict[str, str], numbers: dict[str, int]
) -> None:
    path = files["pump-07"]
    (listed,) = (await alice.get(f"/api/v1/cases/{numbers['pump-07']}/evidence")).json()["evidence"]
    assert path.endswith(f"/{listed['id']}")
    page = (await alice.get(f"/cases/{numbers['pump-07']}/evidence")).text
    assert "As it was when the case was opened" in page
    spec = (await alice.get(f"{path}.vl")).json()
    assert '"vconcat"' in page
    assert "full at 31.2 GiB" in spec["vconcat"][0]["title"]["text"]
    svg = await alice.get(f"{path}.svg")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert "<svg" in svg.text
    assert "full: 31.2 GiB" in svg.text
    assert "time, UTC" in svg.text  # a file has no reader's zone
    assert (await alice.get(f"{path}.png")).content.startswith(b"\x89PNG\r\n")
    rows = list(csv.DictReader(io.StringIO((await alice.get(f"{path}.csv")).text)))
    whole = (await alice.get(f"{path}.json")).json()
    readings = [value for series in whole["snapshot"]["series"] for value in series["values"]]
    assert [float(row["value"]) for row in rows] == readings
    assert len(readings) > 400  # at full rate, while the chart is thinned
    assert {float(row["limit"]) for row in rows if row["limit"]} == {whole["snapshot"]["threshold"]["value"]}
    assert whole["sha256"] == digest(whole["snapshot"])


async def test_a_snapshot_without_series_has_no_chart_and_no_drawn_files(
    alice: httpx.AsyncClient, files: dict[str, str], numbers: dict[str, int]
) -> None:
    page = (await alice.get(f"/cases/{numbers['press-12']}/evidence")).text
    assert "The device sent no series that can be drawn" in page
    assert (await alice.get(f"{files['press-12']}.svg")).status_code == 404
    assert (await alice.get(f"{files['press-12']}.csv")).text.count("\n") == 1
    assert (await alice.get("/cases/999/evidence")).status_code == 404
    assert (await alice.get("/api/v1/cases/1/evidence/999.csv")).status_code == 404


async def test_hostile_text_of_a_device_is_harmless_in_the_page_and_in_a_spreadsheet(
    alice: httpx.AsyncClient, staffed: Database, snapshots: EvidenceSnapshots
) -> None:
    service = CaseService(Rules(), outcome_followers())
    text = "</script><script>alert(1)</script>\u202e"
    async with staffed.begin() as session:
        session.add(seed.device("pump-07", NOW))
        finding = a_disk_finding().model_copy(update={"reason": text})
        pack = an_evidence()
        series = pack.series[0].model_copy(update={"metric": "=cmd|' /C calc'!A0", "unit": text[:32]})
        pack = pack.model_copy(update={"series": (series,), "events": (text,)}).sealed()
        await service.apply_finding(session, "pump-07", finding, NOW)
        await service.tick(session, NOW + timedelta(seconds=6))
        await service.apply_evidence(session, "pump-07", pack, NOW)
        await snapshots.tick(session, NOW)
    page = (await alice.get("/cases/1/evidence")).text
    assert "<script>alert" not in page
    table = (await alice.get("/api/v1/cases/1/evidence/1.csv")).text
    assert "\n'=cmd|" in table
    assert json.loads((await alice.get("/api/v1/cases/1/evidence/1.json")).text)["snapshot"]["events"] == [text]
