"""The page of the evidence that a case was opened on, and its files."""

import asyncio
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Depends, HTTPException, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.outcome_tables import EvidenceSnapshot
from cloud.store.tables import SupportCase
from cloud.web import snapshot_chart
from cloud.web.api import Here
from cloud.web.auth import api_visitor, page_visitor
from cloud.web.pages import InPage

Format = Literal["svg", "png", "csv", "json", "vl"]
MEDIA_TYPES: dict[Format, str] = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "vl": "application/json",
}
router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
files = APIRouter(prefix="/api/v1", dependencies=[Depends(api_visitor)])


async def _snapshots(session: AsyncSession, number: int) -> list[EvidenceSnapshot]:
    query = select(EvidenceSnapshot).where(EvidenceSnapshot.case_number == number).order_by(EvidenceSnapshot.id)
    return list(await session.scalars(query))


@router.get("/cases/{number}/evidence")
async def evidence(context: InPage, number: int) -> Response:
    """What was it opened on?"""
    async with context.console.database.read() as session:
        case = await session.get(SupportCase, number)
        rows = await _snapshots(session, number)
    if case is None:
        raise HTTPException(404, f"There is no case {number}.")
    specs = await asyncio.to_thread(
        lambda: [snapshot_chart.specification(row.body) if row.body else None for row in rows]
    )
    return context.page(
        "evidence.html", active="inbox", case=case, snapshots=list(zip(rows, specs, strict=True)), formats=MEDIA_TYPES
    )


class SnapshotOut(BaseModel):
    """One frozen evidence of a case; its files are at `evidence/{id}.{format}`."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    fault: str
    component: str
    frozen_at: datetime
    state: str
    sha256: str


class SnapshotList(BaseModel):
    """All frozen evidence of a case."""

    evidence: list[SnapshotOut]


@files.get("/cases/{number}/evidence")
async def evidence_list(console: Here, number: int) -> SnapshotList:
    """List the frozen evidence of a case, one for each of its faults."""
    async with console.database.read() as session:
        rows = await _snapshots(session, number)
    return SnapshotList(evidence=[SnapshotOut.model_validate(row) for row in rows])


@files.get("/cases/{number}/evidence/{snapshot}.{format}", responses={404: {}})
async def evidence_file(console: Here, number: int, snapshot: int, format: Format) -> Response:  # noqa: A002  in the address
    """Return frozen evidence: its chart (svg, png, vl for Vega-Lite), readings (csv), or all of it (json)."""
    async with console.database.read() as session:
        row = await session.get(EvidenceSnapshot, snapshot)
    if row is None or row.case_number != number or not row.body:
        raise HTTPException(404, f"Case {number} has no such evidence, or it is not built yet.")
    content = await asyncio.to_thread(_content, row, format)
    if content is None:
        raise HTTPException(404, "The evidence contains no series that can be drawn.")
    name = f"case-{number}-evidence-{snapshot}.{'vl.json' if format == 'vl' else format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


def _content(row: EvidenceSnapshot, wanted: Format) -> str | bytes | None:
    match wanted:
        case "svg":
            return snapshot_chart.svg(row.body)
        case "png":
            return snapshot_chart.png(row.body)
        case "csv":
            return snapshot_chart.as_csv(row.body)
        case "json":
            return snapshot_chart.as_json(row.body, row.sha256)
        case "vl":
            return snapshot_chart.specification_file(row.body)
