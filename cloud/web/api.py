"""The REST API, version 1: what the console shows, as JSON, and the changes it offers. Times are ISO 8601 UTC.

Log in with HTTP Basic, or with the console's cookie. The description is at /api/openapi.json.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from cloud.cases.cases import DONE, Refused
from cloud.store import delivery_queries, queries
from cloud.store.tables import CaseState
from cloud.web import changes
from cloud.web.api_models import (
    CaseDetail,
    CaseList,
    CaseSummary,
    CloseIn,
    DeadLetterList,
    DeadLetterOut,
    DeviceList,
    DeviceOut,
    EntryOut,
    EpisodeOut,
    EvidenceHalf,
    EvidenceOut,
    IngestOut,
    LossList,
    LossOut,
    NoteIn,
    ReopenIn,
)
from cloud.web.auth import ApiVisitor, api_visitor
from cloud.web.context import Console, console_of
from cloud.web.description import describe

MOST_ROWS = 500

Here = Annotated[Console, Depends(console_of)]
description = APIRouter(dependencies=[Depends(api_visitor)], include_in_schema=False)
router = APIRouter(prefix="/api/v1", dependencies=[Depends(api_visitor)])


@description.get("/api/openapi.json")
async def openapi(request: Request) -> dict[str, Any]:
    """Describe this API."""
    return describe(request.app)


_STATES = {
    "open": queries.CaseFilter().states,
    "closed": DONE,
    "all": frozenset(CaseState),
}


@router.get("/cases")
async def cases(
    console: Here,
    state: Literal["open", "closed", "all"] = "open",
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = MOST_ROWS,
) -> CaseList:
    """List cases, the most urgent first (closed ones: the last closed first)."""
    wanted = queries.CaseFilter(states=_STATES[state])
    async with console.database.read() as session:
        lines = await queries.inbox(session, wanted, limit)
        total = await queries.count(session, wanted)
    return CaseList(cases=[_summary(line) for line in lines], total=total)


def _summary(line: queries.CaseLine) -> CaseSummary:
    columns = {name: getattr(line.case, name) for name in CaseSummary.model_fields if name != "faults"}
    return CaseSummary(**columns, faults=list(dict.fromkeys(episode.fault for episode in line.episodes)))


@router.get("/cases/{number}", responses={404: {}})
async def case(console: Here, number: int) -> CaseDetail:
    """Return one case with its episodes, timeline and evidence."""
    async with console.database.read() as session:
        file = await queries.case_file(session, number)
    if file is None:
        raise HTTPException(404, f"There is no case {number}.")
    line = queries.CaseLine(case=file.case, device=file.device, episodes=file.episodes)
    return CaseDetail(
        **_summary(line).model_dump(),
        episodes=[EpisodeOut.model_validate(episode) for episode in file.episodes],
        timeline=[EntryOut.model_validate(entry) for entry in file.entries],
        evidence=list(file.evidence),
    )


@router.get("/evidence/{evidence_id}", responses={404: {}})
async def evidence(console: Here, evidence_id: str) -> EvidenceOut:
    """Return both halves of an evidence pack, the one from before the detection first."""
    async with console.database.read() as session:
        rows = await queries.evidence(session, evidence_id)
    if not rows:
        raise HTTPException(404, "There is no such evidence, or it has not arrived yet.")
    return EvidenceOut(parts=[EvidenceHalf.model_validate(row) for row in rows])


@router.get("/devices")
async def devices(console: Here) -> DeviceList:
    """List all devices, those with open cases first."""
    async with console.database.read() as session:
        lines = await queries.devices(session)
    names = DeviceOut.model_fields.keys() - {"open_cases"}
    return DeviceList(
        devices=[
            DeviceOut(**{name: getattr(line.device, name) for name in names}, open_cases=line.open_cases)
            for line in lines
        ]
    )


@router.get("/dead-letters")
async def dead_letters(console: Here, limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100) -> DeadLetterList:
    """List dead letters, the newest first."""
    async with console.database.read() as session:
        lines = await delivery_queries.dead_letters(session, limit)
    return DeadLetterList(dead_letters=[DeadLetterOut.model_validate(line) for line in lines])


@router.get("/losses")
async def losses(console: Here, limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100) -> LossList:
    """List what devices have declared lost, the newest first."""
    async with console.database.read() as session:
        rows = await queries.losses(session, limit)
    return LossList(losses=[LossOut.model_validate(row) for row in rows])


@router.get("/ingest")
async def ingest(console: Here) -> IngestOut:
    """Return the message counts since this process started."""
    counters = console.counters
    dropped = dict(counters.dropped)
    return IngestOut(taken=counters.committed, dead_lettered=counters.dead_lettered, dropped=dropped)


async def changed(console: Console, number: int, change: changes.Change) -> CaseDetail:
    """Commit a change and return the case after it."""
    try:
        await changes.commit(console, change)
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
    except Refused as refusal:
        raise HTTPException(409, str(refusal)) from None
    return await case(console, number)


_ANSWERS: dict[int | str, dict[str, Any]] = {404: {"description": "no such case"}, 409: {"description": "refused"}}


@router.post("/cases/{number}/take", responses=_ANSWERS)
async def take(console: Here, visitor: ApiVisitor, number: int) -> CaseDetail:
    """Assign the case to yourself."""
    return await changed(console, number, changes.take(console, number, visitor.name))


@router.post("/cases/{number}/release", responses=_ANSWERS)
async def release(console: Here, visitor: ApiVisitor, number: int) -> CaseDetail:
    """Unassign the case."""
    return await changed(console, number, changes.release(console, number, visitor.name))


@router.post("/cases/{number}/close", responses=_ANSWERS)
async def close(console: Here, visitor: ApiVisitor, number: int, body: CloseIn) -> CaseDetail:
    """Close the case with its outcome."""
    return await changed(console, number, changes.close(console, number, visitor.name, body.outcome()))


@router.post("/cases/{number}/reopen", responses=_ANSWERS)
async def reopen(console: Here, visitor: ApiVisitor, number: int, body: ReopenIn) -> CaseDetail:
    """Open a closed case again."""
    return await changed(console, number, changes.reopen(console, number, visitor.name, body.reason))


@router.post("/cases/{number}/note", responses=_ANSWERS)
async def note(console: Here, visitor: ApiVisitor, number: int, body: NoteIn) -> CaseDetail:
    """Write a note into the timeline."""
    return await changed(console, number, changes.note(console, number, visitor.name, body.text))
