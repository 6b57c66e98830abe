"""What machines ask without a login."""

import json
import re
from pathlib import Path

import httpx
from fastapi import FastAPI

from cloud.ingest import DropReason, IngestHealth
from cloud.store.database import Database
from tests.cloud.web.conftest import NOW

DASHBOARD = Path(__file__).parents[3] / "deploy" / "grafana" / "forewarn-cloud.json"


async def test_ready_means_that_database_and_broker_answer(carol: httpx.AsyncClient, app: FastAPI) -> None:
    answer = await carol.get("/readyz")
    assert (answer.status_code, answer.json()["broker"]) == (503, "no ingest runs in this process")
    health = IngestHealth(lambda: NOW)
    object.__setattr__(app.state.console, "health", health)
    assert (await carol.get("/readyz")).json()["broker"] == "not connected"
    health.connected()
    answer = await carol.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "database": "ok", "broker": "ok"})


async def test_the_metrics_have_cases_ingest_requests_and_database(
    carol: httpx.AsyncClient, app: FastAPI, numbers: dict[str, int]
) -> None:
    app.state.console.counters.committed = 7
    app.state.console.counters.drop("loud", DropReason.TOO_FAST)
    await carol.get(f"/api/v1/cases/{numbers['pump-07']}")
    text = (await carol.get("/metrics")).text
    for line in (
        "forewarn_ingest_messages_total 7.0",
        'forewarn_ingest_dropped_total{reason="device_too_fast"} 1.0',
        'forewarn_cases{severity="critical",state="new"} 2.0',
        "forewarn_devices_online 6.0",
        "forewarn_database_read_seconds_count 1.0",
        'forewarn_http_request_seconds_count{method="GET",route="/api/v1/cases/{number}",status="4xx"} 1.0',
    ):
        assert line in text.splitlines()
    assert "pump" not in text, "anybody who reaches the port reads it"


async def test_the_dashboard_asks_for_metrics_that_there_are(carol: httpx.AsyncClient, staffed: Database) -> None:
    await carol.get("/healthz")
    known = (await carol.get("/metrics")).text
    asked = set(re.findall(r"forewarn_[a-z_]+", DASHBOARD.read_text()))
    assert len(asked) >= 9
    assert {name for name in asked if f"# TYPE {re.sub('_(bucket|count)$', '', name)}" not in known} == set()
    assert all(panel["targets"] for panel in json.loads(DASHBOARD.read_text())["panels"])
