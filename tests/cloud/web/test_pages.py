import json
import re
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from cloud.case_service import CaseService
from cloud.store.database import Database
from cloud.store.streams import insert
from cloud.store.tables import LossRow
from cloud.web.auth import COOKIE
from edge_agent.protocol.records import Carrier, Phase, Threshold
from tests.builders import a_finding, an_evidence, an_id, an_impact
from tests.cloud.web import seed
from tests.cloud.web.conftest import NOW, ORIGIN, PASSWORD, form_token

HOSTILE = "<img src=x onerror=alert(1)></script><!--{{7*7}}'\""
ACTIONS = ("take", "release", "close", "reopen", "note")


async def read(client: httpx.AsyncClient, path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.text


def words_of(page: str) -> str:
    """What a reader sees: no tags, single spaces."""
    visible = re.sub(r"<(script|style|svg|title)\b.*?</\1>", " ", page, flags=re.DOTALL)
    plain = re.sub(r"</?(b|strong|span|time|a)\b[^>]*>", "", visible)
    return " ".join(re.sub(r"<[^>]*>", " ", plain).split())


@pytest.mark.parametrize("path", ["/", "/cases/1", "/devices", "/?q=is:closed"])
async def test_a_page_sends_outsiders_to_the_login_and_back(carol: httpx.AsyncClient, path: str) -> None:
    answer = await carol.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
    login = await carol.post("/login", data={"name": "alice", "password": PASSWORD, "next": path})
    assert (login.status_code, login.headers["location"]) == (303, path)


async def test_the_live_stream_is_not_for_outsiders(carol: httpx.AsyncClient) -> None:
    assert (await carol.get("/live")).status_code == 401


@pytest.mark.parametrize("action", ACTIONS)
async def test_outsiders_change_nothing(carol: httpx.AsyncClient, numbers: dict[str, int], action: str) -> None:
    answer = await carol.post(f"/cases/{numbers['pump-07']}/{action}", headers={"Origin": ORIGIN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


async def test_a_link_in_a_mail_works_although_the_cookie_does_not_come_with_it(carol: httpx.AsyncClient) -> None:
    answer = await carol.get("/cases/1", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert 'http-equiv="refresh"' in answer.text
    assert "pump" not in answer.text


async def test_the_cookie_is_kept_from_scripts_and_other_sites(carol: httpx.AsyncClient) -> None:
    answer = await carol.post("/login", data={"name": "alice", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=strict", "Max-Age=43200", "Path=/"} <= set(cookie.split("; "))
    async with httpx.AsyncClient(transport=carol._transport, base_url="https://console.test") as secure:
        answer = await secure.post("/login", data={"name": "alice", "password": PASSWORD})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("target", ["https://evil.test", "//evil.test", "/\\evil.test", "evil"])
async def test_the_login_never_sends_anybody_to_another_site(carol: httpx.AsyncClient, target: str) -> None:
    answer = await carol.post("/login", data={"name": "alice", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


async def test_a_wrong_password_is_reported_and_guessing_is_slowed_down(carol: httpx.AsyncClient) -> None:
    for _ in range(6):
        answer = await carol.post("/login", data={"name": "alice", "password": "wrong"})
        assert answer.status_code == 401
        assert "Name or password is wrong." in answer.text
    answer = await carol.post("/login", data={"name": "alice", "password": PASSWORD})
    assert answer.status_code == 429
    assert "Too many wrong passwords. Wait 3 s, then try again." in answer.text


async def test_a_login_from_another_site_is_refused(carol: httpx.AsyncClient) -> None:
    headers = {"Origin": "http://evil.test"}
    answer = await carol.post("/login", data={"name": "alice", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403


async def test_after_logging_out_the_old_cookie_is_worth_nothing(alice: httpx.AsyncClient) -> None:
    token = alice.cookies[COOKIE]
    await alice.post("/logout", data={"form_token": form_token(await read(alice, "/"))})
    alice.cookies.clear()
    alice.cookies.set(COOKIE, token)
    assert (await alice.get("/")).status_code == 303


@pytest.mark.parametrize(
    ("token", "origin"),
    [
        ("", ORIGIN),
        ("0" * 64, ORIGIN),
        ("right", "http://evil.test"),
        ("right", None),
        ("right", "null"),
        ("ü", ORIGIN),
    ],
)
async def test_a_form_needs_its_token_and_our_origin(
    alice: httpx.AsyncClient, numbers: dict[str, int], token: str, origin: str | None
) -> None:
    path = f"/cases/{numbers['pump-07']}"
    token = form_token(await read(alice, path)) if token == "right" else token
    alice.headers.pop("origin")
    headers = {"Origin": origin} if origin else {}
    answer = await alice.post(f"{path}/take", data={"form_token": token}, headers=headers)
    assert answer.status_code == 403
    assert "Unassigned" in await read(alice, path)


async def test_the_inbox_shows_what_to_take_next(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    page = await read(alice, "/")
    rows = [words_of(row) for row in re.findall(r'<li class="row.*?</label>(.*?)</li>', page, re.DOTALL)]
    assert rows == [
        "Critical Memory of gateway-03 is running out"
        " Okafor Cold Storage · Dock B impact in 5 min Unassigned 4 min ago",
        "Critical File system /var/lib/press of press-12 went read-only"
        " Brandt Print · Hall 2 impact now Unassigned 1 min ago",
        "High File system / of pump-07 is filling up"
        " Northfield Water · Mill Lane impact in 2 h 52 min Unassigned 25 min ago",
        "Warning File system /srv of pump-11 runs out of inodes Northfield Water · Harbour impact in 15 h bob 5 h ago",
        "Warning kiln-02 stays too hot at cpu_thermal Terra Ceramics impact now You 51 min ago",
        "Warning meter-21 behaves unusually (Network traffic, transmit) no estimate Unassigned 2 h ago",
    ]
    assert "7 devices watched, 6 online, last message 4 s ago" in words_of(page)
    assert "Open 6 Mine 1 Closed 1" in words_of(page)
    assert page.count('<svg class="spark"') == 5
    assert len(page.encode()) < 100_000


async def test_tabs_and_filters_show_matching_cases(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    expected = {
        "is:open owner:me": ["kiln-02"],
        "is:closed": ["pump-02"],
        "is:all severity:critical": ["gateway-03", "press-12"],
        "device:pump-07 device:pump-11": ["pump-07", "pump-11"],
        "owner:nobody severity:high": ["pump-07"],
        "fault:disk.filling": ["pump-07"],
        '"northfield water" harbour': ["pump-11"],
        "customer:northfield site:harbour": ["pump-11"],
        'is:all model:"raspberry pi 5"': ["gateway-03"],
        "scanner": ["pump-11"],
        "pump-0": ["pump-07"],
        "disk.fill": ["pump-07"],
        "#5": ["pump-07"],
        "is:taken": ["pump-11", "kiln-02"],
        "100%": [],
    }
    for text, devices in expected.items():
        page = await read(alice, f"/?{httpx.QueryParams(q=text)}")
        shown = re.findall(r'<a class="c-what".*?<b>(.*?)</b>', page)
        assert shown == devices, text


async def test_a_filter_that_is_not_understood_is_answered_beside_it(alice: httpx.AsyncClient) -> None:
    page = await read(alice, "/?q=colour:red", 400)
    assert "“colour:” is not a filter." in page
    assert 'value="colour:red"' in page


async def test_the_empty_inbox_shows_what_is_watched(alice: httpx.AsyncClient, staffed: Database) -> None:
    assert "No device has reported yet" in await read(alice, "/")
    assert "No device has reported yet" in await read(alice, "/devices")
    await seed.add_fleet(staffed, NOW)
    text = words_of(await read(alice, "/"))
    assert "No open cases" in text
    assert "7 devices watched, last message 4 s ago." in text
    assert "No open cases are assigned to you" in await read(alice, "/?q=is:open+owner:me")
    assert "No case matches this filter" in await read(alice, "/?q=severity:info")


async def test_the_case_page_answers_its_three_questions(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    page = await read(alice, f"/cases/{numbers['pump-07']}")
    text = words_of(page)
    assert "File system / of pump-07 is filling up Impact in 2 h 52 min between 2 h 20 min and 3 h 38 min" in text
    assert "Customer impact: writes fail: recordings, logs and databases stop, updates break." in text
    assert "File system (/ used) went from 29.4 to 29.7 GiB in 40 min; full at 31.2 GiB" in text
    assert "Confidence 93 % (trend detector 0.1.0)" in text
    reason = (await alice.get(f"/api/v1/cases/{numbers['pump-07']}")).json()["severity_reason"]
    assert reason.startswith("high: ")
    assert "Why high " + reason[6].upper() + reason[7:] + "." in text
    assert "Evidence Complete, checksum verified; recorded before and after the detection." in text
    assert "Ask what was installed or switched on when the rise began" in text
    assert "systemd: camera-recorder.service restarted" in text
    assert len(page.encode()) < 100_000
    address = re.findall(r'data-spec="(.*?)"', page)[0]
    specs = (await alice.get(address)).json()
    assert [spec["$schema"][:40] for spec in specs] == ["https://vega.github.io/schema/vega-lite/"]
    assert (await alice.get(address + "9")).status_code == 404


async def test_a_chart_is_a_table_too(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    page = await read(alice, f"/cases/{numbers['meter-21']}")
    assert page.count("<figure") == 3
    assert page.count("Show as table") == 3
    assert page.count('<svg class="plain"') == 3
    first = page[page.index("<table>") : page.index("</table>")]
    assert "Network traffic (transmit)" in first
    assert re.search(r"<td>30\d KiB/s</td>", first)


async def test_evidence_that_was_changed_on_the_way_is_marked(
    alice: httpx.AsyncClient, staffed: Database, case_service: CaseService
) -> None:
    await seed.add_fleet(staffed, NOW)
    pack = an_evidence()
    finding = a_finding(since_s=-60, evidence_id=pack.evidence_id, impact=an_impact(3600))
    async with staffed.begin() as session:
        await case_service.apply_finding(session, "pump-07", finding, NOW)
    assert "The evidence has not arrived yet." in await read(alice, "/cases/1")
    forged = pack.model_copy(update={"detected_uptime_s": pack.detected_uptime_s - 1})
    async with staffed.begin() as session:
        await case_service.apply_evidence(session, "pump-07", forged, NOW)
    page = await read(alice, "/cases/1")
    assert '<dd class="alert">The checksum does not match the content' in page


async def test_hostile_words_of_a_device_stay_words(
    alice: httpx.AsyncClient, staffed: Database, case_service: CaseService
) -> None:
    await seed.add_fleet(staffed, NOW)
    metric = f"hw.temperature{{hw.name={HOSTILE}}}"[:200]
    series = an_evidence().series[0].model_copy(update={"metric": metric, "unit": HOSTILE[:32]})
    pack = an_evidence().model_copy(
        update={
            "series": (series,),
            "threshold": Threshold(metric=metric, value=9, meaning=HOSTILE),
            "events": (HOSTILE,),
        }
    )
    finding = a_finding(component=HOSTILE, reason=HOSTILE, since_s=-60, evidence_id=pack.evidence_id).model_copy(
        update={"carriers": (Carrier(metric=metric, value=1, unit=HOSTILE[:32], share=1),)}
    )
    async with staffed.begin() as session:
        await case_service.apply_finding(session, "pump-07", finding, NOW)
        await case_service.apply_evidence(session, "pump-07", pack.sealed(), NOW)
        await case_service.staff.note(session, 1, "alice", HOSTILE, NOW)
    for path in ("/", "/cases/1", f"/?{httpx.QueryParams(q=HOSTILE)}", f"/login?next=/{HOSTILE}", "/devices"):
        page = (await alice.get(path)).text
        assert "<img" not in page, path
        assert "</script><!--" not in page, path
        assert "49" not in words_of(page), path
    page = await read(alice, "/cases/1")
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    spec = (await alice.get(re.findall(r'data-spec="(.*?)"', page)[0])).json()
    assert HOSTILE in json.dumps(spec, ensure_ascii=False).replace('\\"', '"')


async def test_a_fault_that_this_cloud_does_not_know_yet_is_shown_in_the_devices_words(
    alice: httpx.AsyncClient, staffed: Database, case_service: CaseService
) -> None:
    await seed.add_fleet(staffed, NOW)
    finding = a_finding(fault="pump.cavitation", component="impeller", reason="It rattles.", since_s=-60)
    async with staffed.begin() as session:
        await case_service.apply_finding(session, "pump-07", finding, NOW)
    text = words_of(await read(alice, "/cases/1"))
    assert "pump.cavitation on impeller of pump-07" in text
    assert "It rattles." in text
    assert "There is no article for this fault: it is not in the catalogue." in text


async def test_forms_work_without_a_script_and_offer_to_undo(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    path = f"/cases/{numbers['pump-07']}"
    form = {"form_token": form_token(await read(alice, path))}

    async def post(action: str, **fields: str) -> str:
        answer = await alice.post(f"{path}/{action}", data=form | fields)
        assert answer.status_code == 303
        return words_of(await read(alice, answer.headers["location"]))

    taken = await post("take")
    assert "Assigned to you" in taken
    assert "Case 5 is assigned to you. Undo" in taken
    assert "Case 5 is unassigned. Undo" in await post("release")
    assert "Called them." in await post("note", text="Called them.")
    text = await post("close", label="expected", cause="planned_work", note="A backup runs.", impact_at="")
    assert "Closed as expected" in text
    assert "Case 5 is closed as “Expected”. Undo" in text
    text = await post("reopen", reason="It is back.")
    assert "Case 5 is reopened. Undo" in text
    assert "Impact in 2 h 52 min" in text


async def test_a_change_made_in_the_inbox_leads_back_to_its_filter(
    alice: httpx.AsyncClient, numbers: dict[str, int]
) -> None:
    page = await read(alice, "/?q=severity:high")
    form = {"form_token": form_token(page), "back": "inbox:severity:high"}
    answer = await alice.post(f"/cases/{numbers['pump-07']}/take", data=form)
    assert re.fullmatch(r"/\?q=severity%3Ahigh&case=5&done=take&undo=[\w-]{22}", answer.headers["location"])
    assert "Case 5 is assigned to you." in await read(alice, answer.headers["location"])


async def test_a_refused_change_is_explained_on_the_page(alice: httpx.AsyncClient, numbers: dict[str, int]) -> None:
    path = f"/cases/{numbers['pump-11']}"
    page = await read(alice, path)
    assert "Assigned to <b>bob</b>" in page
    answer = await alice.post(f"{path}/take", data={"form_token": form_token(page)})
    assert answer.status_code == 409
    assert "is assigned to bob" in words_of(answer.text).replace("&#39;", "'")
    assert (await alice.post(f"{path}/close", data={"form_token": form_token(page)})).status_code == 422


async def test_a_case_that_is_over_asks_for_its_label(
    alice: httpx.AsyncClient, staffed: Database, case_service: CaseService
) -> None:
    await seed.add_fleet(staffed, NOW)
    start = NOW - timedelta(hours=1)
    async with staffed.begin() as session:
        opened = a_finding(after_s=-3600, since_s=-3700, impact=an_impact(7200))
        cleared = a_finding(Phase.CLEAR, after_s=-1800, finding_id=an_id(9))
        await case_service.apply_finding(session, "pump-07", opened, start)
        await case_service.apply_finding(session, "pump-07", cleared, start + timedelta(minutes=30))
    assert "Cleared reported by the device 30 min ago" in words_of(await read(alice, "/cases/1"))
    assert ">cleared<" in await read(alice, "/")
    async with staffed.begin() as session:
        await case_service.tick(session, NOW)
    assert "Resolved all faults are resolved" in words_of(await read(alice, "/cases/1"))
    assert "resolved, needs a label" in await read(alice, "/")


@pytest.mark.parametrize("done", ["take", "explode", "close", "reopen"])
async def test_the_address_can_not_put_words_into_the_toast(alice: httpx.AsyncClient, done: str) -> None:
    page = await read(alice, f"/?done={done}&case=7&label=<b>x</b>")
    assert "<b>x" not in page
    assert ("Case 7 is assigned to you" in page) is (done == "take")


async def test_what_does_not_exist_has_an_error_page(alice: httpx.AsyncClient) -> None:
    assert "There is no case 99." in await read(alice, "/cases/99", 404)
    assert "Back to the inbox" in await read(alice, "/nowhere", 404)
    assert "Back to the inbox" in await read(alice, "/cases/seven", 404)


async def test_an_internal_error_is_reported_as_ours(app: FastAPI, alice: httpx.AsyncClient, staffed: Database) -> None:
    async with staffed.begin() as session:
        connection = await session.connection()
        await connection.exec_driver_sql("DROP TABLE case_entry")
    alice._transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    answer = await alice.get("/")
    assert answer.status_code == 500
    assert "An internal error occurred" in answer.text
    assert "case_entry" not in answer.text
    assert "default-src" in answer.headers["content-security-policy"]


async def test_a_list_costs_the_same_number_of_statements_however_long_it_is(
    alice: httpx.AsyncClient, numbers: dict[str, int], staffed: Database
) -> None:
    sent: list[str] = []
    engine = staffed._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: sent.append(call[2]))
    counts = []
    for text in ("is:open", "device:pump-07", "is:all"):
        sent.clear()
        await read(alice, f"/?{httpx.QueryParams(q=text)}")
        counts.append(len([statement for statement in sent if statement.startswith("SELECT")]))
    assert max(counts) <= 13
    sent.clear()
    await read(alice, "/devices")
    assert len([statement for statement in sent if statement.startswith("SELECT")]) <= 10


async def test_the_style_sheet_and_the_script_may_be_kept_for_a_year(
    alice: httpx.AsyncClient, carol: httpx.AsyncClient
) -> None:
    page = await read(alice, "/")
    for name in ("console.css", "console.js"):
        address = re.search(rf'"(/static/{name}\?v=[0-9a-f]{{16}})"', page)
        assert address
        answer = await carol.get(address[1])
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await carol.get("/static/nothing.css")).status_code == 404
    assert (await carol.get("/static/..%2Fapp.py")).status_code == 404


async def test_the_chart_library_comes_from_our_own_server(carol: httpx.AsyncClient) -> None:
    answer = await carol.get("/static/vega.js?v=x")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["content-encoding"] == "gzip"
    assert "vegaEmbed" in answer.text
    assert (await carol.get("/static/vega.js", headers={"Accept-Encoding": "identity"})).text == answer.text


async def test_a_case_shows_what_its_device_has_lost_and_why(
    alice: httpx.AsyncClient, staffed: Database, numbers: dict[str, int]
) -> None:
    cut = "the agent stopped without writing down what it held in memory"
    row = {"device": "pump-07", "lane": "telemetry", "stream": an_id(1), "reason": cut, "declared_at": NOW}
    async with staffed.begin() as session:
        await insert(session, LossRow, [row | {"first_seq": 3, "last_seq": 8}, row | {"first_seq": 20, "last_seq": 20}])
        await insert(
            session, LossRow, [row | {"lane": "findings", "first_seq": 5, "last_seq": 5, "reason": "<b>bad</b>"}]
        )
    page = await read(alice, f"/cases/{numbers['pump-07']}")
    assert f"Up to 7 records of telemetry: {cut}" in words_of(page)
    assert "Up to 1 record of findings: &lt;b&gt;bad&lt;/b&gt;" in page
    other = await read(alice, f"/cases/{numbers['pump-11']}")
    assert "Lost records" not in other
