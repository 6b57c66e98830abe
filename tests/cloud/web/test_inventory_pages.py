"""The forms, the import and the API of the inventory."""

import httpx
import pytest

from cloud.store.database import Database
from cloud.store.tables import Device
from tests.cloud.web.conftest import NOW, form_token
from tests.cloud.web.test_pages import read, words_of

CSV = b"device,customer,site\npump-07,Acme,Harbour\nnew-1,Acme,Quay\n"


@pytest.fixture
async def pump(staffed: Database) -> Database:
    async with staffed.begin() as session:
        session.add(Device(device="pump-07", first_seen=NOW, last_seen=NOW))
    return staffed


async def post(client: httpx.AsyncClient, path: str, form: str, **fields: str) -> httpx.Response:
    token = form_token(await read(client, form))
    return await client.post(path, data={"form_token": token, **fields})


async def upload(client: httpx.AsyncClient, content: bytes) -> httpx.Response:
    token = form_token(await read(client, "/inventory/import"))
    return await client.post("/inventory/import", data={"form_token": token}, files={"file": ("d.csv", content)})


async def test_what_is_recorded_about_a_device_is_on_its_page_and_creates_customer_and_site(
    alice: httpx.AsyncClient, pump: Database
) -> None:
    form = "/devices/pump-07/edit"
    answer = await post(
        alice, form, form, version="1", customer="Acme", site="Harbour", owner="South", tags="cold", consent="findings"
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices/pump-07?saved=true")
    text = words_of(await read(alice, "/devices/pump-07?saved=true"))
    assert "Saved." in text
    assert "Acme · Harbour" in text
    assert "Consent Findings with their evidence" in text
    assert "Acme 1 1 device none" in words_of(await read(alice, "/inventory"))
    assert "Harbour 1 none" in words_of(await read(alice, "/inventory/customer?name=Acme"))


async def test_a_wrong_field_has_its_message_beside_it_and_nothing_is_saved(
    alice: httpx.AsyncClient, pump: Database
) -> None:
    form = "/devices/pump-07/edit"
    answer = await post(alice, form, form, version="1", site="Harbour", tags="<b>", owner="South")
    assert answer.status_code == 422
    assert "Site “Harbour” has no customer" in answer.text
    assert 'id="e-tags">Tag “&lt;b&gt;” cannot be used' in answer.text
    assert 'value="South"' in answer.text, "what was entered is kept"
    async with pump.read() as session:
        assert (await session.get_one(Device, "pump-07")).owner == ""


async def test_two_who_edit_the_same_device_do_not_overwrite_each_other(
    alice: httpx.AsyncClient, pump: Database
) -> None:
    form = "/devices/pump-07/edit"
    await post(alice, form, form, version="1", owner="South")
    answer = await post(alice, form, form, version="1", owner="North")
    assert answer.status_code == 409
    assert "Somebody else has changed this" in answer.text
    assert 'value="South"' in answer.text


async def test_customers_and_sites_are_created_once_and_changed(alice: httpx.AsyncClient, staffed: Database) -> None:
    form = "/inventory/customer"
    assert (await post(alice, form, form, version="0", name="Acme", contact="Ann")).status_code == 303
    assert "exists already" in (await post(alice, form, form, version="0", name="Acme")).text
    assert (await post(alice, form, form, version="1", name="Acme", contact="Ben")).status_code == 303
    assert (await post(alice, form, form, version="1", name="Acme", contact="Cy")).status_code == 409
    assert "Ben" in await read(alice, "/inventory?q=ben")
    site = "/inventory/site"
    wrong = await post(alice, site, form, version="0", customer="Acme", name="Quay", zone="Mars")
    assert "Time zone “Mars” is not known" in wrong.text
    assert (await post(alice, site, form, version="0", customer="Acme", name="Quay")).status_code == 303
    await read(alice, "/inventory/site?customer=Acme&name=Quay")
    await read(alice, "/inventory/site?customer=Acme&name=Nowhere", status=404)


async def test_an_import_is_shown_first_and_then_made(alice: httpx.AsyncClient, pump: Database) -> None:
    shown = await upload(alice, CSV)
    assert "2 lines: 1 new device, 1 changed, 0 without a change. Nothing has been changed yet." in words_of(shown.text)
    assert "No customer recorded" in await read(alice, "/devices/pump-07")
    key = shown.text.split('name="key" value="')[1].split('"')[0]
    done = await post(alice, "/inventory/import/apply", "/inventory/import", key=key)
    assert "Imported: 1 device entered, 1 changed" in words_of(done.text)
    again = await post(alice, "/inventory/import/apply", "/inventory/import", key=key)
    assert "This file is no longer kept. Choose it again. Nothing was changed." in again.text
    assert "new-1" in (await alice.get("/inventory/devices.csv")).text
    assert "changes nothing" in (await upload(alice, CSV)).text


async def test_an_import_of_what_has_changed_meanwhile_is_shown_again(alice: httpx.AsyncClient, pump: Database) -> None:
    shown = await upload(alice, CSV)
    form = "/devices/pump-07/edit"
    await post(alice, form, form, version="1", customer="Other")
    key = shown.text.split('name="key" value="')[1].split('"')[0]
    answer = await post(alice, "/inventory/import/apply", "/inventory/import", key=key)
    assert "Devices were changed since you checked the file. Nothing was imported" in answer.text
    assert "new-1" not in (await alice.get("/inventory/devices.csv")).text


async def test_problems_of_a_file_are_listed_by_line_and_column(alice: httpx.AsyncClient, pump: Database) -> None:
    answer = await upload(alice, b"device,site\npump-07,Quay\nb c,\n")
    assert answer.status_code == 422
    text = words_of(answer.text)
    assert "2 problems. Nothing was changed." in text
    assert "2 customer Site “Quay” has no customer" in text
    assert "3 device Device “b c” is no device name" in text
    assert "No file was chosen" in (await upload(alice, b"")).text


async def test_the_api_reads_and_records(alice: httpx.AsyncClient, pump: Database) -> None:
    path = "/api/v1/inventory/devices/pump-07"
    known = (await alice.get(path)).json()
    assert (known["version"], known["tags"], known["consent"]) == (1, [], "unknown")
    body = {"version": 1, "customer": "Acme", "tags": ["b", "a"], "consent": "telemetry"}
    saved = (await alice.put(path, json=body)).json()
    assert (saved["version"], saved["tags"], saved["customer"]) == (2, ["a", "b"], "Acme")
    assert (await alice.put(path, json=body)).status_code == 409
    wrong = await alice.put(path, json={"version": 2, "consent": "perhaps"})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "body.consent"
    assert (await alice.put("/api/v1/inventory/devices/nobody", json={"version": 1})).status_code == 404
    assert (await alice.get("/api/v1/customers")).json()["total"] == 1
    assert (await alice.put("/api/v1/sites", json={"customer": "Acme", "name": "Quay"})).json()["version"] == 1
    assert [site["name"] for site in (await alice.get("/api/v1/sites?customer=Acme")).json()["sites"]] == ["Quay"]
    assert (await alice.put("/api/v1/customers", json={"name": ""})).status_code == 422
    assert (await alice.get("/api/v1/inventory/devices?q=acme")).json()["total"] == 1


async def test_the_api_imports_only_without_a_dry_run(alice: httpx.AsyncClient, pump: Database) -> None:
    headers = {"Content-Type": "text/csv"}
    dry = (await alice.post("/api/v1/inventory/import", content=CSV, headers=headers)).json()
    assert (dry["applied"], len(dry["changes"])) == (False, 2)
    done = (await alice.post("/api/v1/inventory/import?dry_run=false", content=CSV, headers=headers)).json()
    assert done["applied"]
    bad = (await alice.post("/api/v1/inventory/import?dry_run=false", content=b"device\na b\n", headers=headers)).json()
    assert (bad["applied"], bad["problems"][0]["line"]) == (False, 2)
    assert (await alice.get("/api/v1/inventory.csv")).text.count("Acme") == 2
