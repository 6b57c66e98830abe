"""What the cloud's ingest can do, beside a client that drains the same messages from the same broker and does nothing.

What flows in: how many messages to send. What flows out: messages a second on SQLite and on PostgreSQL as shares of the
raw drain, how that changes with the number of devices, and how long a finding takes to its case while telemetry pours
in. `python -m tests.bench.ingest` prints it as JSON; each figure is the median of `ROUNDS` runs.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
from sqlalchemy import text

from cloud.store.database import Database
from edge_agent.protocol import telemetry
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.topics import Channel, Lane, subscription, topic
from firmware_stubs.processes import free_port, running_cloud, running_mosquitto
from tests.builders import a_finding, an_envelope, an_id, an_instant
from tests.chaos.postgres import Postgres
from tests.wire import Publisher, packet

METRICS, SECONDS = 40, 60  # readings in one message
MESSAGES = 10_000
DEVICES = (10, 100, 1000, 5000)
ROUNDS = 3
FINDINGS = 300  # whose way to their case is timed, one after the other
LOAD_PER_S = 1000  # messages of telemetry a second meanwhile
DATABASES = ("SQLite", "PostgreSQL")
Report = Callable[[str], None]


def measure(report: Report) -> dict[str, Any]:
    """Run everything; `report` is told what is going on."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as a user of its own
        urls = {"SQLite": ""}
        with contextlib.suppress(FileNotFoundError):
            server = Postgres(folder / "server")
            server.start()
            stack.callback(server.stop)
            urls["PostgreSQL"] = server.url
        by_devices = {devices: _compared(folder, urls, devices, report) for devices in DEVICES}
        waits = {}
        for kind, url in urls.items():
            waits[kind] = _latency(folder, url)
            report(f"finding to case, {kind}: {waits[kind]}")
    return {"readings_per_message": METRICS * SECONDS, "devices": by_devices, "finding_to_case": waits}


def _compared(folder: Path, urls: dict[str, str], devices: int, report: Report) -> dict[str, Any]:
    """Rounds of raw drain and ingest in turn, so that whatever else the machine does meets them alike."""
    packets = [packet(*one, number) for number, one in enumerate(_messages(devices))]
    raw: list[float] = []
    rates: dict[str, list[float]] = {kind: [] for kind in urls}
    for _ in range(ROUNDS):
        raw.append(len(packets) / _drain_s(folder, packets))
        for kind, url in urls.items():
            rates[kind].append(len(packets) / _ingest_s(folder, url, packets))
        now = ", ".join(f"{kind} {runs[-1]:.0f}/s" for kind, runs in rates.items())
        report(f"{devices} devices: raw drain {raw[-1]:.0f}/s, {now}; load {os.getloadavg()[0]:.1f}")
    limit = statistics.median(raw)
    found = {}
    for kind, runs in rates.items():
        rate = statistics.median(runs)
        readings = round(rate * METRICS * SECONDS)
        found[kind] = {
            "messages_per_s": round(rate),
            "readings_per_s": readings,
            "of_raw": round(rate / limit, 3),
            "runs_per_s": [round(each) for each in runs],
        }
    return {"raw_per_s": round(limit), "raw_runs_per_s": [round(each) for each in raw], "databases": found}


def _messages(devices: int) -> Iterator[tuple[str, bytes]]:
    """Topics and payloads; the devices take turns, and each counts its own records."""
    records = [_record(np.random.default_rng(seed)) for seed in range(20)]
    for number in range(MESSAGES):
        device, seq = number % devices, number // devices + 1
        yield _topic(device), telemetry.encode(an_id(device + 1), 1, seq, [records[number % len(records)]])


def _topic(device: int) -> str:
    return topic(f"device-{device}", Lane.TELEMETRY)


def _record(rng: np.random.Generator) -> bytes:
    """One minute of a device: random walks, rounded as sensors are."""
    walks = 50 + rng.normal(0, 0.05, (METRICS, SECONDS)).cumsum(axis=1)
    columns = tuple(
        telemetry.Column(
            series=f"forewarn.bench.metric{{place=place-{number}}}",
            aggregate="last",
            unit="1",
            resolution=0.01,
            values=np.round(walk, 2),
        )
        for number, walk in enumerate(walks)
    )
    return telemetry.pack(telemetry.Batch(start=an_instant(), period_s=1.0, columns=columns))


def _drain_s(folder: Path, packets: list[bytes]) -> float:
    """Seconds from the first publish to the last message in a client that does nothing."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.ingest", "drain", str(port), str(len(packets))]
    with running_mosquitto(folder, port, "max_queued_messages 0"):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.readline()
        publisher = Publisher(port, "bench")
        began = time.monotonic()
        _send(publisher, packets)
        ended = float(process.stdout.readline())
        process.wait()
        publisher.close()
    return ended - began


async def drain(port: int, messages: int) -> None:
    """The client that does nothing; it prints when it listens, and the time of the last message."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(subscription(Channel.TELEMETRY), qos=1)
        print("listening", flush=True)
        left = messages
        async for _ in client.messages:
            left -= 1
            if not left:
                break
        print(time.monotonic(), flush=True)


def _ingest_s(folder: Path, url: str, packets: list[bytes]) -> float:
    """Seconds from the first publish to the commit of the last message in a real cloud with an empty database."""
    with _cloud(folder, url) as (port, database_url):
        publisher = Publisher(port, "bench")
        began = time.monotonic()
        sender = threading.Thread(target=_send, args=(publisher, packets))
        sender.start()
        ended = asyncio.run(_stored(database_url, len(packets)))
        sender.join()
        publisher.close()
    return ended - began


def _send(publisher: Publisher, packets: list[bytes]) -> None:
    for first in range(0, len(packets), 50):
        publisher.publish(*packets[first : first + 50])


async def _stored(url: str, messages: int) -> float:
    """Wait until that many records are committed; return when that was seen."""
    database = Database(url)
    async with asyncio.timeout(120):
        stored = 0
        while stored < messages:
            await asyncio.sleep(0.02)
            async with database.read() as session:
                stored = (
                    await session.scalar(text("SELECT sum(stored_up_to) FROM stream WHERE lane = 'telemetry'")) or 0
                )
    ended = time.monotonic()
    await database.close()
    return ended


@contextlib.contextmanager
def _cloud(folder: Path, url: str) -> Iterator[tuple[int, str]]:
    """A broker and a cloud with an empty database, ready; the broker's port and the database's URL."""
    if url:
        asyncio.run(_emptied(url))
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home = Path(name)
        url = url or f"sqlite+aiosqlite:///{home / 'bench.db'}"
        port, web_port = free_port(), free_port()
        config = home / "cloud.toml"
        config.write_text(
            f'[data]\ndatabase_url = "{url}"\n[ingest]\nwaiting_mib = 4096\ndevice_kib_s = 1048576\n'
        )  # a fleet of ten sends here as a fleet of thousands would
        options = ("--broker", f"mqtt://127.0.0.1:{port}", "--config", str(config))
        with (
            running_mosquitto(home, port, "max_queued_messages 0"),
            running_cloud(home, web_port, port, *options) as (console, _),
        ):
            publisher = Publisher(port, "probe")
            while not console.devices():  # it listens when it has heard somebody
                publisher.publish(packet(topic("probe", Lane.FINDINGS), an_envelope(1, a_finding()), 0))
                time.sleep(0.1)
            publisher.close()
            yield port, url


async def _emptied(url: str) -> None:
    database = Database(url)
    async with database.begin() as session:
        await session.execute(text("DROP SCHEMA public CASCADE"))
        await session.execute(text("CREATE SCHEMA public"))
    await database.close()


def _latency(folder: Path, url: str) -> dict[str, Any]:
    """Time findings, each of a device of its own, from their publish to the commit of their case, under load."""
    with _cloud(folder, url) as (port, database_url):
        done = threading.Event()
        load = threading.Thread(target=_pour, args=(port, done))
        load.start()
        try:
            waits_s = asyncio.run(_waits(port, database_url))
        finally:
            done.set()
            load.join()
    p50, p99 = np.quantile(waits_s, (0.5, 0.99))
    return {"p50_s": round(float(p50), 4), "p99_s": round(float(p99), 4)}


def _pour(port: int, done: threading.Event) -> None:
    """Publish telemetry of a thousand devices at a steady pace until told to stop."""
    records = [_record(np.random.default_rng(seed)) for seed in range(20)]
    publisher, number, began = Publisher(port, "load"), 0, time.monotonic()
    while not done.is_set():
        device, seq = number % 1000, number // 1000 + 1
        payload = telemetry.encode(an_id(device + 1), 1, seq, [records[number % 20]])
        publisher.publish(packet(_topic(device), payload, number))
        number += 1
        time.sleep(max(0.0, began + number / LOAD_PER_S - time.monotonic()))
    publisher.close()


async def _waits(port: int, url: str) -> list[float]:
    database = Database(url)
    publisher = Publisher(port, "findings")
    waits_s = []
    for number in range(FINDINGS):
        device = f"sick-{number}"
        payload = an_envelope(1, a_finding(severity=Severity.CRITICAL, finding_id=an_id(number)))
        began = time.monotonic()
        publisher.publish(packet(topic(device, Lane.FINDINGS), payload, number))
        found = None
        while found is None:
            await asyncio.sleep(0.01)
            async with database.read() as session:
                query = text("SELECT number FROM support_case WHERE device = :device")
                found = await session.scalar(query, {"device": device})
        waits_s.append(time.monotonic() - began)
        await asyncio.sleep(0.05)
    publisher.close()
    await database.close()
    return waits_s


def main() -> int:
    """Measure, print; `drain` is the process that `measure` starts for the raw limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", title="commands", metavar="drain")
    drained = commands.add_parser("drain", help="only drain so many messages of a broker on this machine")
    drained.add_argument("port", type=int)
    drained.add_argument("messages", type=int)
    options = parser.parse_args()
    if options.command:
        asyncio.run(drain(options.port, options.messages))
        return 0
    print(json.dumps(measure(lambda line: print(line, file=sys.stderr, flush=True)), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
