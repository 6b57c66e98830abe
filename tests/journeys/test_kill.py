"""Agent and cloud are killed at critical moments: after each restart there is one case, and no record is missing."""

import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.outbox import Outbox
from edge_agent.protocol import records
from firmware_stubs.processes import running_agent, running_cloud
from tests.builders import a_finding, an_evidence, an_id
from tests.edge_agent.outbox.test_outbox import crash
from tests.journeys.conftest import cases_of, eventually, mosquitto

pytestmark = pytest.mark.journey


def put_finding(state_dir: Path) -> None:
    """Put a finding and its evidence into a device's outbox, as the agent does before it publishes."""
    outbox = Outbox(state_dir / "outbox.db")
    impact = records.Impact(low_s=300, likely_s=400, high_s=500)
    pending = [a_finding(impact=impact, evidence_id=an_id(2)), an_evidence(evidence_id=an_id(2))]
    outbox.put(map(records.encode, pending))
    crash(outbox)


def waiting(state_dir: Path) -> int:
    """Return how many findings-lane records are pending on the device; its agent may run."""
    with closing(sqlite3.connect(state_dir / "outbox.db")) as database:
        count: int = database.execute("SELECT count(*) FROM record WHERE lane = 'findings'").fetchone()[0]
        return count


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold SQLite's write lock: other connections can read and can't commit."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@contextmanager
def witness(topic: str, port: int) -> Iterator[threading.Event]:
    """Subscribe to a topic beside the cloud; the event is set when the broker has delivered something."""
    delivered = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *_: delivered.set()
    client.connect("127.0.0.1", port)
    client.subscribe(topic, 1)
    client.loop_start()
    try:
        yield delivered
    finally:
        client.disconnect()
        client.loop_stop()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_an_agent_killed_between_finding_and_publish_sends_it_after_its_restart(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    with running_agent(tmp_path, "pump-07", ports[1]) as agent:  # there is no broker: nothing can be sent
        eventually((tmp_path / "pump-07" / "outbox.db").exists, "the outbox")
        kill(agent)
    put_finding(tmp_path / "pump-07")
    with running_cloud(tmp_path, *ports) as (console, _), running_agent(tmp_path, "pump-07", ports[1]):
        (case,) = eventually(lambda: cases_of(console, "pump-07"), "the case")
        assert case["faults"] == ["disk.filling"]
        eventually(lambda: not waiting(tmp_path / "pump-07"), "the acknowledgement")
        time.sleep(1)
        assert len(console.cases()) == 1


def test_a_cloud_killed_repeatedly_while_it_receives_a_finding_opens_one_case(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    """The broker keeps running; the cloud is killed at moments from before the receipt to after the commit."""
    web_port, mqtt_port = ports
    options = ("--broker", f"mqtt://127.0.0.1:{mqtt_port}")
    with mosquitto(tmp_path, mqtt_port):
        put_finding(tmp_path / "pump-07")
        for round_ in range(5):
            with (
                running_cloud(tmp_path, web_port, mqtt_port, *options) as (_, cloud),
                running_agent(tmp_path, "pump-07", mqtt_port) as agent,
            ):
                time.sleep(0.6 + 0.12 * round_)
                kill(cloud)
                kill(agent)
        with (
            running_cloud(tmp_path, web_port, mqtt_port, *options) as (console, _),
            running_agent(tmp_path, "pump-07", mqtt_port),
        ):
            eventually(lambda: cases_of(console, "pump-07"), "the case")
            eventually(lambda: not waiting(tmp_path / "pump-07"), "the acknowledgement")
            (case,) = console.cases()
            timeline = [entry["kind"] for entry in console.case(case["number"])["timeline"]]
            assert timeline.count("opened") == 1


def test_a_cloud_killed_between_receipt_and_commit_stores_the_finding_after_its_restart(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    """The test locks the database, so the cloud has received the finding and can't commit it when it is killed."""
    web_port, mqtt_port = ports
    options = ("--broker", f"mqtt://127.0.0.1:{mqtt_port}")
    with mosquitto(tmp_path, mqtt_port):
        put_finding(tmp_path / "pump-07")
        with (
            running_cloud(tmp_path, web_port, mqtt_port, *options) as (console, cloud),
            locked(next((tmp_path / "cloud").glob("*.db"))),
            witness("forewarn/v1/pump-07/findings", mqtt_port) as delivered,
            running_agent(tmp_path, "pump-07", mqtt_port) as agent,
        ):
            eventually(delivered.is_set, "the broker to deliver the finding")
            time.sleep(1)  # the cloud has received it and waits for the lock
            assert console.cases() == []
            kill(cloud)
            kill(agent)
        assert waiting(tmp_path / "pump-07") >= 2, "records that are not stored are not acknowledged"
        with (
            running_cloud(tmp_path, web_port, mqtt_port, *options) as (console, _),
            running_agent(tmp_path, "pump-07", mqtt_port),
        ):
            eventually(lambda: cases_of(console, "pump-07"), "the case")
            eventually(lambda: not waiting(tmp_path / "pump-07"), "the acknowledgement")
            assert len(console.cases()) == 1
