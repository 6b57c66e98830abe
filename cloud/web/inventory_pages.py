"""Pages of the inventory: what staff record about devices, customers and sites; import and export as CSV."""

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Response, UploadFile
from fastapi.responses import RedirectResponse

from cloud.inventory import StaleError, csv_file, fields, save_customer, save_device, save_site
from cloud.inventory.inventory import entry_of
from cloud.store import device_queries, inventory_queries, queries
from cloud.store.inventory_tables import CustomerRow, SiteRow
from cloud.store.tables import SYSTEM_DEVICE, Device
from cloud.web.auth import page_visitor
from cloud.web.device_pages import CONSENTS, PAGE_SIZE
from cloud.web.pages import InPage, PageContext

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
Text = Annotated[str, Form(max_length=4000)]
Version = Annotated[int, Form(ge=0, le=2**31 - 2)]
Name = Annotated[str, Query(max_length=200)]
MOST_SITES = 500
MOST_SHOWN = 100  # changes of a dry run
STALE = "Somebody else has changed this since you opened it. What is recorded now is shown; enter your change again."


@router.get("/devices/{name}/edit")
async def device_form(context: InPage, name: str) -> Response:
    """What do we know about this device that it does not know itself?"""
    return await _device_form(context, name[:64])


@router.post("/devices/{name}/edit")
async def edit_device(  # noqa: PLR0913  the fields of the form
    context: InPage,
    name: str,
    version: Version,
    customer: Text = "",
    site: Text = "",
    owner: Text = "",
    tags: Text = "",
    consent: Text = "",
    note: Text = "",
) -> Response:
    """Record it."""
    given = {
        "device": name, "customer": customer, "site": site, "owner": owner, "tags": tags, "consent": consent,
        "note": note,
    }  # fmt: skip
    try:
        entry = fields.read_device(given)
        async with context.console.database.begin() as session:
            await save_device(session, entry, version, context.visitor.name, context.console.now())
    except fields.Invalid as invalid:
        return await _device_form(context, name[:64], given, invalid.problems)
    except StaleError:
        return await _device_form(context, name[:64], stale=True)
    except LookupError:
        raise HTTPException(404, f"There is no device {name[:64]}.") from None
    context.console.change_signal.notify()
    return RedirectResponse(f"/devices/{quote(name, safe='')}?saved=true", 303)


async def _device_form(
    context: PageContext,
    name: str,
    given: dict[str, str] | None = None,
    problems: fields.Problems | None = None,
    *,
    stale: bool = False,
) -> Response:
    async with context.console.database.read() as session:
        row = await session.get(Device, name)
        known = await inventory_queries.names(session, MOST_SITES)
    if row is None or row.device == SYSTEM_DEVICE:
        raise HTTPException(404, f"There is no device {name}.")
    return context.page(
        "device_form.html", 409 if stale else 422 if problems else 200, active="devices", device=row,
        entry=given or entry_of(row), problems=problems or {}, refused=STALE if stale else "",
        known_customers=known[0], known_sites=known[1], consents=CONSENTS,
    )  # fmt: skip


@router.get("/inventory")
async def customers(
    context: InPage,
    q: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """Whose devices are these, and where are they?"""
    async with context.console.database.read() as session:
        found = await inventory_queries.customers(session, q.strip(), page=page, size=PAGE_SIZE)
        feed = await queries.last_entry_id(session)
    pages = max(1, -(-found.total // PAGE_SIZE))
    return context.page(
        "customers.html", active="devices", found=found, q=q, page=page, pages=pages, size=PAGE_SIZE, feed=feed
    )


@router.get("/inventory/customer")
async def customer_form(context: InPage, name: Name = "") -> Response:
    """Who is this customer, and which sites do they have?"""
    return await _customer_form(context, name)


@router.post("/inventory/customer")
async def edit_customer(
    context: InPage, version: Version, name: Text = "", contact: Text = "", note: Text = ""
) -> Response:
    """Record it."""
    given = {"name": name, "contact": contact, "note": note}
    try:
        entry = fields.read_customer(given)
        async with context.console.database.begin() as session:
            await save_customer(session, entry, version, context.visitor.name, context.console.now())
    except fields.Invalid as invalid:
        return await _customer_form(context, name.strip() if version else "", given, invalid.problems)
    except StaleError:
        if not version:
            problem = {"name": f"Customer “{name.strip()}” exists already. Open it in the list, or enter another name."}
            return await _customer_form(context, "", given, problem)
        return await _customer_form(context, name.strip(), stale=True)
    return RedirectResponse("/inventory/customer?" + urlencode({"name": entry.name}), 303)


async def _customer_form(
    context: PageContext,
    name: str,
    given: dict[str, str] | None = None,
    problems: fields.Problems | None = None,
    *,
    stale: bool = False,
) -> Response:
    async with context.console.database.read() as session:
        row = await session.get(CustomerRow, name) if name else None
        if name and row is None:
            raise HTTPException(404, f"There is no customer {name}.")
        sites = await inventory_queries.sites(session, name, MOST_SITES) if name else ()
    names = ("name", "contact", "note")
    entry = given or {field: getattr(row, field) if row else "" for field in names}
    return context.page(
        "customer.html", 409 if stale else 422 if problems else 200, active="devices", row=row, entry=entry,
        problems=problems or {}, refused=STALE if stale else "", sites=sites,
    )  # fmt: skip


@router.get("/inventory/site")
async def site_form(context: InPage, customer: Name, name: Name = "") -> Response:
    """Where is this site?"""
    return await _site_form(context, customer, name)


@router.post("/inventory/site")
async def edit_site(  # noqa: PLR0913  the fields of the form
    context: InPage,
    version: Version,
    customer: Text = "",
    name: Text = "",
    address: Text = "",
    zone: Text = "",
    note: Text = "",
) -> Response:
    """Record it."""
    given = {"customer": customer, "name": name, "address": address, "zone": zone, "note": note}
    here = (customer.strip(), name.strip() if version else "")
    try:
        entry = fields.read_site(given)
        async with context.console.database.begin() as session:
            await save_site(session, entry, version, context.visitor.name, context.console.now())
    except fields.Invalid as invalid:
        return await _site_form(context, *here, given, invalid.problems)
    except StaleError:
        if not version:
            problem = {"name": f"Site “{name.strip()}” exists already. Open it in the list, or enter another name."}
            return await _site_form(context, *here, given, problem)
        return await _site_form(context, *here, stale=True)
    return RedirectResponse("/inventory/customer?" + urlencode({"name": entry.customer}), 303)


async def _site_form(
    context: PageContext,
    customer: str,
    name: str,
    given: dict[str, str] | None = None,
    problems: fields.Problems | None = None,
    *,
    stale: bool = False,
) -> Response:
    async with context.console.database.read() as session:
        row = await session.get(SiteRow, (customer, name)) if name else None
        known = await session.get(CustomerRow, customer)
    if known is None or (name and row is None):
        raise HTTPException(404, f"There is no site {name} of a customer {customer}." if known else "No such customer.")
    names = ("customer", "name", "address", "zone", "note")
    entry = given or {field: getattr(row, field) if row else "" for field in names} | {"customer": customer}
    return context.page(
        "site.html", 409 if stale else 422 if problems else 200, active="devices", row=row, entry=entry,
        problems=problems or {}, refused=STALE if stale else "",
    )  # fmt: skip


@router.get("/inventory/devices.csv")
async def export(context: InPage) -> Response:
    """Send all devices as a file that can be changed and imported again."""
    async with context.console.database.read() as session:
        text = csv_file.write(await device_queries.all_devices(session))
    headers = {"Content-Disposition": 'attachment; filename="devices.csv"', "Cache-Control": "no-store"}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/inventory/import")
async def import_form(context: InPage) -> Response:
    """Which file?"""
    return _import_page(context)


@router.post("/inventory/import")
async def check_import(context: InPage, file: UploadFile) -> Response:
    """Show what a file would change; change nothing."""
    content = await file.read(csv_file.LARGEST + 1)
    if len(content) > csv_file.LARGEST:
        text = f"The file is larger than {csv_file.LARGEST >> 20} MiB. Split it and import the parts."
        return _import_page(context, refused=text)
    if not content.strip():
        return _import_page(context, refused="No file was chosen, or it is empty. Choose a CSV file.")
    async with context.console.database.read() as session:
        found = await csv_file.plan(session, content)
    key = csv_file.digest(content, found)
    if found.changes and not found.problems:
        context.console.pending_imports.keep(context.visitor.name, key, content)
    return _import_page(context, plan=found, key=key, name=file.filename or "")


@router.post("/inventory/import/apply")
async def apply_import(context: InPage, key: Annotated[str, Form(max_length=64)]) -> Response:
    """Make the changes that were shown; all of them or none."""
    who = context.visitor.name
    content = context.console.pending_imports.take(who, key)
    if content is None:
        return _import_page(context, refused="This file is no longer kept. Choose it again. Nothing was changed.")
    async with context.console.database.begin() as session:
        found = await csv_file.plan(session, content)
        if (now_key := csv_file.digest(content, found)) == key:
            await csv_file.apply(session, found, who, context.console.now())
    if now_key != key:
        context.console.pending_imports.keep(who, now_key, content)
        text = (
            "Devices were changed since you checked the file. Nothing was imported; this is what it would change now."
        )
        return _import_page(context, refused=text, plan=found, key=now_key)
    context.console.change_signal.notify()
    return _import_page(context, done=found)


def _import_page(context: PageContext, refused: str = "", **values: Any) -> Response:
    given = {"plan": None, "done": None, "key": "", "name": ""} | values
    plan = given["plan"]
    status = 422 if refused or (plan and plan.problems) else 200
    return context.page(
        "import.html", status, active="devices", refused=refused, columns=csv_file.COLUMNS, most=MOST_SHOWN,
        most_problems=csv_file.MOST_PROBLEMS, consents=CONSENTS, **given,
    )  # fmt: skip
