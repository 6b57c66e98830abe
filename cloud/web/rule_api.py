"""The REST API of problems, silences, the watch list and the further actions on a case."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.rows import silence_of
from cloud.cases.cases import Refused
from cloud.cases.silences import WEEKDAYS, Silence, active_until
from cloud.store import rule_queries
from cloud.web import changes
from cloud.web.api import MOST_ROWS, Here, changed
from cloud.web.api_models import CaseDetail, CloseIn, NoteIn
from cloud.web.auth import ApiVisitor, api_visitor
from cloud.web.input_limits import INTEGER_MAX
from cloud.web.silence_pages import read_time

router = APIRouter(prefix="/api/v1", dependencies=[Depends(api_visitor)])
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]
_ANSWERS: dict[int | str, dict[str, Any]] = {404: {"description": "not found"}, 409: {"description": "refused"}}


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ProblemOut(_Row):
    """One cause behind many cases."""

    number: int
    fault: str
    scope: str
    value: str
    title: str
    state: str
    opened_at: datetime
    opened_reason: str
    last_case_at: datetime
    owner: str | None
    announcement: str
    cases: int
    open_cases: int


class ProblemList(BaseModel):
    """Problems, open ones first."""

    problems: list[ProblemOut]


class SilenceOut(_Row):
    """A silence, and the ids of the episodes that it suppressed."""

    number: int
    owner: str
    reason: str
    zone: str
    device: str
    site: str
    model: str
    fault: str
    starts_at: datetime
    ends_at: datetime
    weekdays: list[int]
    from_time: str
    to_time: str
    ended_at: datetime | None
    ended_by: str
    active: bool
    suppressed: list[int]


class SilenceList(BaseModel):
    """Silences, those that end last first."""

    silences: list[SilenceOut]


class SilenceIn(BaseModel):
    """A silence to create; without a start it starts now. Times of day are local to `zone`."""

    reason: str = Field(max_length=4000)
    zone: str = Field(max_length=64)
    device: str = Field(default="", max_length=64)
    site: str = Field(default="", max_length=200)
    model: str = Field(default="", max_length=128)
    fault: str = Field(default="", max_length=200)
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime
    weekdays: list[Annotated[int, Field(ge=0, lt=len(WEEKDAYS))]] = []
    from_time: str = Field(default="", max_length=8)
    to_time: str = Field(default="", max_length=8)


class CreatedOut(BaseModel):
    """The number of what was created."""

    number: int


class WatchedOut(_Row):
    """An episode that began for information; `case_number` is the case that it rose to."""

    id: int
    device: str
    fault: str
    component: str
    state: str
    severity: str
    confidence: float
    sentence: str
    first_at: datetime
    last_at: datetime
    resolved_at: datetime | None
    acknowledged_by: str | None
    case_number: int | None


class WatchList(BaseModel):
    """The watch list, what is still there first."""

    episodes: list[WatchedOut]


class HandOverIn(BaseModel):
    """Who goes on, and what they need to know."""

    to: str = Field(max_length=64)
    note: str = Field(max_length=4000)


class SnoozeIn(BaseModel):
    """Until when."""

    until: AwareDatetime
    note: str = Field(default="", max_length=4000)


class MergeIn(BaseModel):
    """The case that goes on."""

    into: int = Field(ge=1, le=INTEGER_MAX)


class WhyIn(BaseModel):
    """Why."""

    reason: str = Field(max_length=4000)


@router.get("/problems")
async def problems(console: Here, limit: Limit = 100) -> ProblemList:
    """List problems, open ones first."""
    async with console.database.read() as session:
        lines = await rule_queries.problems(session, limit)
    names = ProblemOut.model_fields.keys() - {"cases", "open_cases"}
    return ProblemList(
        problems=[
            ProblemOut(
                **{name: getattr(line.problem, name) for name in names}, cases=line.cases, open_cases=line.open_cases
            )
            for line in lines
        ]
    )


@router.post("/problems/{number}/take", status_code=204, responses=_ANSWERS)
async def take_problem(console: Here, visitor: ApiVisitor, number: int) -> None:
    """Assign the problem to yourself."""
    actions = console.case_service.problems
    await _commit(console, lambda session, now: actions.take(session, number, visitor.name, now))


@router.post("/problems/{number}/announce", status_code=204, responses=_ANSWERS)
async def announce(console: Here, visitor: ApiVisitor, number: int, body: NoteIn) -> None:
    """Set the text that all cases of the problem show."""
    actions = console.case_service.problems
    await _commit(console, lambda session, now: actions.announce(session, number, visitor.name, body.text, now))


@router.post("/problems/{number}/close", status_code=204, responses=_ANSWERS)
async def close_problem(console: Here, visitor: ApiVisitor, number: int, body: CloseIn) -> None:
    """Close the problem and all its open cases with one outcome."""
    actions = console.case_service.problems
    await _commit(console, lambda session, now: actions.close(session, number, visitor.name, body.outcome(), now))


@router.get("/silences")
async def silences(console: Here, limit: Limit = 100) -> SilenceList:
    """List silences with what they suppressed."""
    async with console.database.read() as session:
        lines = await rule_queries.silences(session, limit)
    now = console.now()
    names = SilenceOut.model_fields.keys() - {"active", "suppressed"}
    return SilenceList(
        silences=[
            SilenceOut(
                **{name: getattr(line.silence, name) for name in names},
                active=active_until(silence_of(line.silence), now) is not None,
                suppressed=[episode.id for episode in line.episodes],
            )
            for line in lines
        ]
    )


@router.post("/silences", status_code=201, responses=_ANSWERS)
async def create_silence(console: Here, visitor: ApiVisitor, body: SilenceIn) -> CreatedOut:
    """Hold cases back."""
    numbers: list[int] = []

    async def change(session: AsyncSession, now: datetime) -> None:
        numbers.append(await console.case_service.silences.create(session, _silence(body, visitor.name, now), now))

    await _commit(console, change)
    return CreatedOut(number=numbers[-1])


@router.post("/silences/{number}/end", responses=_ANSWERS)
async def end_silence(console: Here, visitor: ApiVisitor, number: int) -> CreatedOut:
    """End a silence before its time."""
    actions = console.case_service.silences
    await _commit(console, lambda session, now: actions.end(session, number, visitor.name, now))
    return CreatedOut(number=number)


@router.get("/watch-list")
async def watch_list(console: Here, device: str = "", limit: Limit = 100) -> WatchList:
    """List episodes that began for information, of one device or of all."""
    async with console.database.read() as session:
        lines = await rule_queries.watch_list(session, device, limit)
    return WatchList(episodes=[WatchedOut.model_validate(episode) for episode, _ in lines])


@router.post("/cases/{number}/hand-over", responses=_ANSWERS)
async def hand_over(console: Here, visitor: ApiVisitor, number: int, body: HandOverIn) -> CaseDetail:
    """Give the case to a colleague; its first owner is kept informed."""
    return await changed(console, number, changes.hand_over(console, number, visitor.name, body.to, body.note))


@router.post("/cases/{number}/snooze", responses=_ANSWERS)
async def snooze(console: Here, visitor: ApiVisitor, number: int, body: SnoozeIn) -> CaseDetail:
    """Put the case off."""
    return await changed(console, number, changes.snooze(console, number, visitor.name, body.until, body.note))


@router.post("/cases/{number}/wake", responses=_ANSWERS)
async def wake(console: Here, visitor: ApiVisitor, number: int) -> CaseDetail:
    """End the snooze."""
    return await changed(console, number, changes.wake(console, number, visitor.name))


@router.post("/cases/{number}/merge", responses=_ANSWERS)
async def merge(console: Here, visitor: ApiVisitor, number: int, body: MergeIn) -> CaseDetail:
    """Continue in another case of the device."""
    return await changed(console, number, changes.merge(console, number, body.into, visitor.name))


@router.post("/cases/{number}/unmerge", responses=_ANSWERS)
async def unmerge(console: Here, visitor: ApiVisitor, number: int, body: WhyIn) -> CaseDetail:
    """Take the merge back."""
    return await changed(console, number, changes.unmerge(console, number, visitor.name, body.reason))


@router.post("/cases/{number}/unlink", responses=_ANSWERS)
async def unlink(console: Here, visitor: ApiVisitor, number: int, body: WhyIn) -> CaseDetail:
    """Take the case out of its problem."""
    return await changed(console, number, changes.unlink(console, number, visitor.name, body.reason))


def _silence(body: SilenceIn, owner: str, now: datetime) -> Silence:
    given = body.model_dump(exclude={"starts_at", "weekdays", "from_time", "to_time"})
    return Silence(
        **given,
        owner=owner,
        starts_at=body.starts_at or now,
        weekdays=tuple(sorted(set(body.weekdays))),
        from_time=read_time(body.from_time),
        to_time=read_time(body.to_time),
    )


async def _commit(console: Here, change: changes.Change) -> None:
    try:
        await changes.commit(console, change)
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
    except Refused as refusal:
        raise HTTPException(409, str(refusal)) from None
