"""What machines ask without a login: is it alive, is it ready, and its metrics for Prometheus.

What flows in: probes. What flows out: a status, or counts without any name of a device, a customer or a person.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel
from sqlalchemy import func, select, text

from cloud.cases.cases import DONE
from cloud.ingest import DropReason
from cloud.store import queries
from cloud.store.database import is_trouble
from cloud.store.tables import SupportCase
from cloud.web.context import Console, console_of

Here = Annotated[Console, Depends(console_of)]
router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The service and its database answer."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether the service does its work: each part is ok, or says why not."""

    status: Literal["ready", "not ready"]
    database: str
    broker: str


@router.get("/healthz")
async def healthz(console: Here) -> Health:
    """Ask the database before saying that all is well."""
    async with console.database.read() as session:
        await session.execute(text("SELECT 1"))
    return Health(status="ok")


@router.get("/readyz", responses={503: {"model": Ready, "description": "A part does not work."}})
async def readyz(console: Here, response: Response) -> Ready:
    """Say whether the database answers and the broker is connected; 503 if not."""
    database = "ok"
    try:
        async with console.database.read() as session:
            await session.execute(text("SELECT 1"))
    except Exception as error:
        if not is_trouble(error):
            raise
        database = "does not answer"
    broker = _broker(console)
    is_ready = database == broker == "ok"
    if not is_ready:
        response.status_code = 503
    return Ready(status="ready" if is_ready else "not ready", database=database, broker=broker)


def _broker(console: Console) -> str:
    if console.health is None:
        return "no ingest runs in this process"
    return "ok" if console.health.state.connected_since else "not connected"


@router.get("/metrics", include_in_schema=False)
async def metrics(console: Here) -> Response:
    """Return the metrics in Prometheus' text format."""
    began_s = time.perf_counter()
    async with console.database.read() as session:
        await session.execute(text("SELECT 1"))
        console.metrics.database.observe(time.perf_counter() - began_s)
        query = select(SupportCase.state, SupportCase.severity, func.count()).where(SupportCase.state.not_in(DONE))
        grouped = await session.execute(query.group_by(SupportCase.state, SupportCase.severity))
        cases = [(row[0], row[1], row[2]) for row in grouped]
        fleet = await queries.fleet_status(session)
    registry = CollectorRegistry()
    registry.register(_Now(_families(console, cases, fleet)))
    body = generate_latest(console.metrics.registry) + generate_latest(registry)
    return Response(body, media_type=CONTENT_TYPE_LATEST)


def _families(console: Console, cases: Iterable[tuple[str, str, int]], fleet: queries.FleetStatus) -> Iterator[Metric]:
    counters = console.counters
    for name, words, count in (
        ("forewarn_ingest_messages", "Messages committed.", counters.committed),
        ("forewarn_ingest_dead_letters", "Messages and records that were set aside.", counters.dead_lettered),
    ):
        yield CounterMetricFamily(name, words, value=count)
    dropped = CounterMetricFamily(
        "forewarn_ingest_dropped", "Messages dropped; their devices send them again.", labels=["reason"]
    )
    for reason in DropReason:
        dropped.add_metric([reason], counters.dropped[reason])
    yield dropped
    opened = GaugeMetricFamily("forewarn_cases", "Cases that are not closed.", labels=["state", "severity"])
    for state, severity, count in cases:
        opened.add_metric([state, severity], count)
    yield opened
    yield GaugeMetricFamily("forewarn_devices", "Devices that have reported.", value=fleet.devices)
    yield GaugeMetricFamily("forewarn_devices_online", "Devices that are online.", value=fleet.online)
    is_connected = console.health is not None and console.health.state.connected_since is not None
    yield GaugeMetricFamily("forewarn_broker_connected", "1 while the broker is connected.", value=int(is_connected))


class _Now(Collector):
    """Counts of this moment."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families
