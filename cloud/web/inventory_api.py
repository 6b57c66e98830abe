"""The REST API of the inventory and of the fleet."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from cloud.inventory import StaleError, csv_file, fields, save_customer, save_device, save_site
from cloud.inventory.inventory import entry_of
from cloud.store import device_queries, inventory_queries
from cloud.store.inventory_tables import CustomerRow, SiteRow
from cloud.store.tables import SYSTEM_DEVICE, Device
from cloud.web.api import MOST_ROWS, Here
from cloud.web.auth import ApiVisitor, api_visitor

router = APIRouter(prefix="/api/v1", dependencies=[Depends(api_visitor)], tags=["inventory"])
Name = Annotated[str, Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]
Page = Annotated[int, Query(ge=1, le=100_000)]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    404: {"description": "not found"},
    409: {"description": "changed by somebody else since that version"},
    422: {"description": "a field is wrong: which, its value and the remedy"},
}


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class DeviceInventory(BaseModel):
    """What staff record about a device, and what it reports. `version` is that of the record."""

    device: str
    customer: str
    site: str
    owner: str
    tags: list[str]
    consent: fields.Consent
    note: str
    version: int
    model: str
    firmware: str
    agent: str
    presence: str
    last_seen: datetime


class DeviceInventoryIn(BaseModel):
    """What to record; `version` is the one that this is based on."""

    version: int = Field(ge=1, le=2**31 - 2)
    customer: str = Field(default="", max_length=4000)
    site: str = Field(default="", max_length=4000)
    owner: str = Field(default="", max_length=4000)
    tags: list[Annotated[str, Field(max_length=400)]] = Field(default=[], max_length=100)
    consent: str = Field(default="unknown", max_length=100)
    note: str = Field(default="", max_length=4000)


class InventoryPage(BaseModel):
    """A page of devices, those with open cases first; `total` counts all that fit."""

    devices: list[DeviceInventory]
    total: int


class CustomerOut(_Row):
    """A customer."""

    name: str
    contact: str
    note: str
    version: int


class CustomerPage(BaseModel):
    """A page of customers by name."""

    customers: list[CustomerOut]
    total: int


class CustomerIn(BaseModel):
    """What to record; version 0 creates the customer."""

    name: str = Field(max_length=4000)
    contact: str = Field(default="", max_length=4000)
    note: str = Field(default="", max_length=4000)
    version: int = Field(default=0, ge=0, le=2**31 - 2)


class SiteOut(_Row):
    """A site of a customer."""

    customer: str
    name: str
    address: str
    zone: str
    note: str
    version: int


class SiteList(BaseModel):
    """The sites of a customer by name."""

    sites: list[SiteOut]


class SiteIn(BaseModel):
    """What to record; version 0 creates the site."""

    customer: str = Field(max_length=4000)
    name: str = Field(max_length=4000)
    address: str = Field(default="", max_length=4000)
    zone: str = Field(default="", max_length=400)
    note: str = Field(default="", max_length=4000)
    version: int = Field(default=0, ge=0, le=2**31 - 2)


class ProblemOut(_Row):
    """Something wrong in a file."""

    line: int
    column: str
    text: str


class FieldChangeOut(BaseModel):
    """One field before and after."""

    field: str
    before: str
    after: str


class ChangeOut(BaseModel):
    """What a line changes."""

    line: int
    device: str
    is_new: bool
    fields: list[FieldChangeOut]


class ImportOut(BaseModel):
    """What an import changed, or would change. With any problem it changes nothing."""

    applied: bool
    lines: int
    unchanged: int
    problems: list[ProblemOut]
    changes: list[ChangeOut]


def _device(row: Device) -> DeviceInventory:
    return DeviceInventory(
        **{name: value for name, value in entry_of(row).items() if name not in ("tags", "consent")},
        tags=row.tags.split(), consent=fields.Consent(row.consent), version=row.inventory_version, model=row.hardware,
        firmware=row.firmware, agent=row.agent, presence=row.presence, last_seen=row.last_seen,
    )  # fmt: skip


@router.get("/inventory/devices")
async def inventory(console: Here, q: str = "", limit: Limit = 100, page: Page = 1) -> InventoryPage:
    """List devices with what is recorded about them; each word of `q` must fit."""
    wanted = device_queries.DeviceFilter(text=q[:200])
    async with console.database.read() as session:
        found = await device_queries.device_page(session, wanted, page=page, size=limit)
    return InventoryPage(devices=[_device(line.device) for line in found.lines], total=found.total)


@router.get("/inventory/devices/{name}", responses={404: {}})
async def device(console: Here, name: Name) -> DeviceInventory:
    """Return what is recorded about a device."""
    async with console.database.read() as session:
        row = await session.get(Device, name)
    if row is None or row.device == SYSTEM_DEVICE:
        raise HTTPException(404, "There is no such device.")
    return _device(row)


@router.put("/inventory/devices/{name}", responses=_ANSWERS)
async def put_device(console: Here, visitor: ApiVisitor, name: Name, body: DeviceInventoryIn) -> DeviceInventory:
    """Record something about a device."""
    given = body.model_dump(exclude={"version", "tags"}) | {"device": name, "tags": " ".join(body.tags)}
    with _Answers():
        entry = fields.read_device(given)
        async with console.database.begin() as session:
            await save_device(session, entry, body.version, visitor.name, console.now())
    return await device(console, name)


@router.get("/customers")
async def customers(console: Here, q: str = "", limit: Limit = 100, page: Page = 1) -> CustomerPage:
    """List customers by name."""
    async with console.database.read() as session:
        found = await inventory_queries.customers(session, q[:200], page=page, size=limit)
    return CustomerPage(customers=[CustomerOut.model_validate(line.row) for line in found.lines], total=found.total)


@router.put("/customers", responses=_ANSWERS)
async def put_customer(console: Here, visitor: ApiVisitor, body: CustomerIn) -> CustomerOut:
    """Create or change a customer."""
    with _Answers():
        entry = fields.read_customer(body.model_dump(exclude={"version"}))
        async with console.database.begin() as session:
            await save_customer(session, entry, body.version, visitor.name, console.now())
    async with console.database.read() as session:
        return CustomerOut.model_validate(await session.get_one(CustomerRow, entry.name))


@router.get("/sites")
async def sites(console: Here, customer: Annotated[str, Query(max_length=200)]) -> SiteList:
    """List the sites of a customer by name."""
    async with console.database.read() as session:
        found = await inventory_queries.sites(session, customer, MOST_ROWS)
    return SiteList(sites=[SiteOut.model_validate(line.row) for line in found])


@router.put("/sites", responses=_ANSWERS)
async def put_site(console: Here, visitor: ApiVisitor, body: SiteIn) -> SiteOut:
    """Create or change a site."""
    with _Answers():
        entry = fields.read_site(body.model_dump(exclude={"version"}))
        async with console.database.begin() as session:
            await save_site(session, entry, body.version, visitor.name, console.now())
    async with console.database.read() as session:
        return SiteOut.model_validate(await session.get_one(SiteRow, (entry.customer, entry.name)))


@router.get("/inventory.csv", response_class=Response)
async def export(console: Here) -> Response:
    """Return all devices as CSV that can be imported again."""
    async with console.database.read() as session:
        text = csv_file.write(await device_queries.all_devices(session))
    return Response(text, media_type="text/csv; charset=utf-8")


@router.post("/inventory/import", responses={413: {"description": "the file is too large"}})
async def import_devices(
    console: Here,
    visitor: ApiVisitor,
    content: Annotated[bytes, Body(media_type="text/csv")],
    dry_run: bool = True,
) -> ImportOut:
    """Import devices from CSV; a dry run, which is the default, only returns what would change."""
    if len(content) > csv_file.LARGEST:
        raise HTTPException(413, f"The file is larger than {csv_file.LARGEST >> 20} MiB. Split it.")
    async with console.database.begin() as session:
        found = await csv_file.plan(session, content)
        applied = not dry_run and not found.problems
        if applied:
            await csv_file.apply(session, found, visitor.name, console.now())
    return ImportOut(
        applied=applied,
        lines=found.lines,
        unchanged=found.unchanged,
        problems=[ProblemOut.model_validate(problem) for problem in found.problems[: csv_file.MOST_PROBLEMS]],
        changes=[_change(change) for change in found.changes],
    )


def _change(change: csv_file.Change) -> ChangeOut:
    changed = [FieldChangeOut(field=name, before=before, after=after) for name, before, after in change.fields]
    return ChangeOut(line=change.line, device=change.device, is_new=change.is_new, fields=changed)


class _Answers:
    """Turns refusals into answers of the API."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if isinstance(error, fields.Invalid):
            wrong = [
                {"type": "value", "loc": ("body", name), "msg": text, "input": None}
                for name, text in error.problems.items()
            ]
            raise RequestValidationError(wrong)
        if isinstance(error, StaleError):
            raise HTTPException(409, "Changed by somebody else since that version. Read it again and repeat.")
        if isinstance(error, LookupError):
            raise HTTPException(404, "There is no such device.")
