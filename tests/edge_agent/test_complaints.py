"""Complaints of users of other agents about delivery: each is tested here or at the place named below.

Elsewhere: "power cut leaves NULs in the queue file" in full length is tests/torn_writes; the sizes and ends of
connections are tests/edge_agent/test_uplink; "no RTC, so the certificate is not yet valid" is tests/journeys/test_tls;
two weeks offline in full length are tests/offline.
"""

import json
import logging
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from edge_agent.agent import Agent
from edge_agent.assembly import Settings, assemble
from edge_agent.clock import SystemClock
from edge_agent.collectors import Collection
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Pipeline
from edge_agent.outbox import Outbox
from edge_agent.outbox.loss_table import QUOTA_EXCEEDED
from edge_agent.outbox.quota import Quota
from edge_agent.protocol import records
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Finding, Loss, Presence, PresenceState
from edge_agent.protocol.topics import Lane
from edge_agent.resource_budget import Budgets, DegradationLevel
from edge_agent.uplink.backoff import Backoff
from edge_agent.uplink.mqtt_connection import Connection, Link, PresenceMessages
from firmware_stubs.faults import DiskFilling, Fault
from firmware_stubs.machine import VirtualMachine
from tests.brokers import ScriptedBroker
from tests.builders import DEVICE, a_chunk, a_finding, an_evidence, an_instant
from tests.clocks import HandClock
from tests.edge_agent.outbox.test_outbox import crash, written
from tests.edge_agent.uplink.test_uplink import all_away, declare, pumped, sending

DAY_S = 86_400.0
SMALL = Quota(budget_bytes=1 << 20, headroom_bytes=0)


def an_agent(outbox: Outbox, clock: HandClock, *faults: Fault, port: int = 1, budgets: Budgets | None = None) -> Agent:
    """An agent on virtual hardware that samples once in ten seconds; port 1 is closed."""
    settings = Settings(
        device=DEVICE, firmware="", hardware="", model="", period_s=10.0, evidence_before_s=600.0,
        evidence_after_s=60.0, telemetry="frugal", publish_every_min=15, budgets=budgets or Budgets(),
    )  # fmt: skip
    link = Link(host="127.0.0.1", port=port, tls=None, username=None, password=None, keepalive_s=30)
    return assemble(
        settings,
        clock=clock,
        collection=Collection((HostCollector(VirtualMachine(clock, DEVICE, faults)),)),
        pipeline=Pipeline(period_s=10.0, horizon_s=3 * DAY_S, scorer=None),
        outbox=outbox,
        link=link,
    )


def run_for(agent: Agent, clock: HandClock, seconds: float, step_s: float = 10.0) -> None:
    """Run the agent while virtual time passes."""
    until_s = clock.uptime_s + seconds
    while clock.uptime_s < until_s:
        clock.uptime_s += step_s
        agent.step()


def pending_records(outbox: Outbox) -> list[Finding | Loss]:
    """Return the findings and losses that are pending in an outbox."""
    found = [records.read_record(json.loads(body)) for _, body in outbox.after(Lane.FINDINGS, 0, 100_000)]
    return [one for one in found if isinstance(one, Finding | Loss)]


@contextmanager
def connected(agent: Agent) -> Iterator[Agent]:
    agent.delivery.uplink.start()
    try:
        deadline = time.monotonic() + 10
        while not agent.delivery.uplink.connected and time.monotonic() < deadline:
            time.sleep(0.01)
        assert agent.delivery.uplink.connected
        yield agent
    finally:
        agent.delivery.uplink.stop()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next_s", lambda _self, _held_s: 0.01)
    monkeypatch.setattr("edge_agent.uplink.messages_in_flight.QUIET_S", 0.1)


@pytest.mark.parametrize("part", ["", "-wal", ".ledger"])
def test_a_queue_file_full_of_nuls_after_a_power_cut_does_not_stop_the_agent(tmp_path: Path, part: str) -> None:
    """mosquitto #2639, #3160: the broker refused to start."""
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put([records.encode(a_finding())])
    cut = tmp_path / "after the power cut"
    cut.mkdir()
    for file in tmp_path.glob("outbox.db*"):
        shutil.copy(file, cut)
    crash(outbox)
    path = cut / "outbox.db"
    torn = path.with_name(path.name + part)
    torn.write_bytes(bytes(torn.stat().st_size))
    again = Outbox(path)
    here = bool(again.after(Lane.FINDINGS, 0, 1))
    declared = [one for one in again.undeclared() if one.lane is Lane.FINDINGS]
    assert here or declared
    again.put([b"a record"])
    again.close()


def test_telemetry_is_not_written_to_disk_while_the_link_is_up(tmp_path: Path) -> None:
    """fluent-bit #10477, thingsboard-gateway #2122."""
    clock = HandClock()
    outbox = Outbox(tmp_path / "outbox.db")
    with ScriptedBroker() as broker:
        agent = an_agent(outbox, clock, port=broker.port)
        with connected(agent):
            for _ in range(30):
                run_for(agent, clock, 900.0, step_s=60.0)
                eventually(agent, lambda: not outbox.waiting(Lane.TELEMETRY))
                assert written(outbox) == []
    assert len(broker.taken[Lane.TELEMETRY]) >= 29
    outbox.close()


def eventually(agent: Agent, done: Callable[[], bool]) -> None:
    """Wait for a condition in real time; the agent's clock is stopped."""
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        agent.delivery.uplink.pump()
        time.sleep(0.002)


def test_after_an_outage_the_newest_records_are_kept_and_the_oldest_dropped(tmp_path: Path) -> None:
    """thin-edge.io #3083: the data of the outage was discarded and the old was kept."""
    outbox = Outbox(tmp_path / "outbox.db", SMALL)
    for _ in range(100):
        outbox.buffer(bytes(30_000))
        outbox.flush()
    kept = [seq for seq, _ in outbox.after(Lane.TELEMETRY, 0, 1000)]
    assert kept == list(range(101 - len(kept), 101))
    outbox.close()


def test_two_weeks_offline_stay_within_the_budget_lose_no_finding_and_drain(tmp_path: Path, at_once: None) -> None:
    """thin-edge.io #4213 (unbounded queue), thingsboard-gateway #2094 (45 GB after 4 days). A budget of 1 MiB here."""
    clock, path = HandClock(1000.0), tmp_path / "outbox.db"
    outbox = Outbox(path, SMALL)
    faults = tuple(DiskFilling(start_s=day * DAY_S + 5000, lasts_s=3600) for day in range(1))
    with ScriptedBroker() as broker:
        agent = an_agent(outbox, clock, *faults, port=broker.port)
        run_for(agent, clock, 9000.0)
        opened = [one.finding_id for one in pending_records(outbox) if isinstance(one, Finding)]
        assert opened
        pack = records.encode(an_evidence(values=[1.0] * 3000))
        for hour in range(14 * 24):  # thirteen more days with a fault an hour
            outbox.put([records.encode(a_finding(finding_id=f"{hour:032x}")), pack])
            outbox.buffer(a_chunk(hour * 3600.0) + bytes(3000))
            clock.uptime_s += 3600
            outbox.flush_if_due(clock.uptime_s, connected=False)
            assert outbox._store.used_bytes() <= SMALL.budget_bytes
        assert sum(part.stat().st_size for part in tmp_path.iterdir()) < 4 * SMALL.budget_bytes
        with connected(agent):
            for _ in range(400):
                if all_away(outbox):
                    break
                agent.step()
                time.sleep(0.05)
        assert all_away(outbox)
    findings = [body for body in broker.taken[Lane.FINDINGS].values() if b"'kind': 'finding'" in body]
    assert all(any(one.encode() in body for body in findings) for one in opened)
    assert all(any(f"{hour:032x}".encode() in body for body in findings) for hour in range(14 * 24))
    for lane in Lane:
        assert sorted(broker.taken[lane]) == list(range(1, outbox.last_seq(lane) + 1)), "stored or declared, each"
    outbox.close()


def test_a_backlog_does_not_count_towards_the_budget_of_sent_bytes(tmp_path: Path) -> None:
    """Otherwise a device would be degraded for a day after each long outage."""
    clock, outbox = HandClock(1000.0), Outbox(tmp_path / "outbox.db")
    for _ in range(60):
        outbox.buffer(a_chunk() + bytes(3000))
    with ScriptedBroker() as broker:
        agent = an_agent(outbox, clock, port=broker.port, budgets=Budgets(sent_bytes=60_000.0))
        run_for(agent, clock, 20.0)
        with connected(agent):
            eventually(agent, lambda: all_away(outbox))
            run_for(agent, clock, 1300.0)
            assert agent.delivery.uplink.sent_bytes > 180_000
            assert agent.limits.level is DegradationLevel.NORMAL
    outbox.close()


def test_one_oversized_message_does_not_block_reconnection_forever(tmp_path: Path, at_once: None) -> None:
    """thin-edge.io #4209."""
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put([records.encode(an_evidence(values=[1.0] * 9000)), records.encode(a_finding())])
    broker = ScriptedBroker(versions=frozenset({4}), ends_on=lambda _topic, payload: len(payload) > 30_000)
    with broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: outbox.undeclared())
        declare(outbox)
        assert pumped(one, lambda: all_away(outbox))
    assert len(outbox.quarantined()) == 1
    outbox.close()


def test_a_full_store_recovers_by_itself(tmp_path: Path) -> None:
    """thingsboard-gateway #1483: once full, it stayed full."""
    path = tmp_path / "outbox.db"
    outbox = Outbox(path, Quota(budget_bytes=4 << 20, headroom_bytes=0))
    for _ in range(300):
        outbox.buffer(bytes(20_000))
        outbox.flush()
    outbox.put([records.encode(a_finding())])
    full = path.stat().st_size
    for lane in Lane:
        outbox.acknowledge(lane, outbox.stream(lane), outbox.last_seq(lane))
    assert outbox._store.used_bytes() < 100_000
    assert path.stat().st_size < full / 2, "the space is returned to the file system"
    outbox.put([records.encode(a_finding())])
    assert len(outbox.after(Lane.FINDINGS, 0, 10)) == 1
    outbox.close()


def test_dropped_records_are_declared_lost(tmp_path: Path) -> None:
    """telegraf #5536."""
    outbox = Outbox(tmp_path / "outbox.db", SMALL)
    for _ in range(80):
        outbox.buffer(bytes(30_000))
        outbox.flush()
    kept = len(outbox.after(Lane.TELEMETRY, 0, 1000))
    (lost,) = outbox.undeclared()
    assert (lost.first_seq, lost.last_seq, lost.cause) == (1, 80 - kept, QUOTA_EXCEEDED)
    outbox.close()


def test_records_dropped_from_memory_while_the_store_is_not_writable_are_declared_lost(tmp_path: Path) -> None:
    """telegraf #5536, on a full disk."""
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    with ScriptedBroker() as broker:
        agent = an_agent(outbox, clock, port=broker.port)
        agent.delivery.add([a_finding()] * 300)
        outbox._store.db.execute("PRAGMA query_only = 1")  # every write fails, as on a file system that went read-only
        run_for(agent, clock, 30.0)
        outbox._store.db.execute("PRAGMA query_only = 0")
        with connected(agent):
            run_for(agent, clock, 30.0)
            eventually(agent, lambda: all_away(outbox))
    lost = [seq for seq, body in broker.taken[Lane.FINDINGS].items() if body == b"lost"]
    assert len(lost) == 300 - 256
    outbox.close()


def test_reconnects_of_a_fleet_are_spread_and_not_a_storm() -> None:
    """mosquitto #1035. A thousand devices lose the same broker for an hour."""
    tries: list[float] = []
    for device in range(1000):
        backoff, now_s = Backoff(random.Random(device)), 0.0
        while (now_s := now_s + backoff.next_s(link_held_s=0.0 if now_s else 7200.0)) < 3600:
            tries.append(now_s)
    assert len(tries) < 1000 * 30
    for minute in range(10, 60):
        a_minute = [one for one in tries if minute * 60 <= one < minute * 60 + 60]
        busiest = max(
            sum(second <= one < second + 1 for one in a_minute) for second in range(minute * 60, minute * 60 + 60)
        )
        assert busiest < 30, "of 1,000 devices, in one second"


def test_backoff_is_not_skipped_when_the_broker_kicks_after_a_good_connack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A duplicate client id: each CONNACK reset the wait, and two devices threw each other out at full speed."""
    waits: list[float] = []
    real = Backoff.next_s

    def counted(self: Backoff, link_held_s: float) -> float:
        waits.append(real(self, link_held_s))
        return 0.01

    monkeypatch.setattr(Backoff, "next_s", counted)
    with ScriptedBroker(kicks_after_connack=True) as broker:
        link = Link(host="127.0.0.1", port=broker.port, tls=None, username=None, password=None, keepalive_s=30)
        messages = PresenceMessages(topic="a", will=lambda: b"", online=lambda: b"", listen=("b",))
        connection = Connection(DEVICE, link, messages, time.monotonic)
        connection.start()
        deadline = time.monotonic() + 10
        while len(waits) < 30 and time.monotonic() < deadline:
            time.sleep(0.01)
        connection.stop(b"")
    assert len(waits) >= 30
    assert max(waits) > 60, "the wait grows although each connection was accepted"


def test_own_logs_do_not_fill_the_disk_while_the_broker_is_away_for_days(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at_once: None
) -> None:
    """aws-greengrass-lite #959: 120 GB overnight. Here one line when the link fails."""
    caplog.set_level(logging.INFO)
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock)
    agent.delivery.uplink.start()
    run_for(agent, clock, DAY_S, step_s=60.0)
    time.sleep(0.5)
    agent.delivery.uplink.stop()
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("edge_agent")]
    assert len(lines) <= 3, lines
    outbox.close()


def test_an_agent_that_is_offline_sleeps(tmp_path: Path) -> None:
    """thingsboard-gateway #1678: 100 % of a core while idle. Counts wake-ups of the process, not time."""
    outbox = Outbox(tmp_path / "outbox.db")
    with sending(outbox, 1) as one:
        one.pump()
        before = psutil.Process().num_ctx_switches().voluntary
        threading.Event().wait(1.0)
        assert psutil.Process().num_ctx_switches().voluntary - before < 200
    outbox.close()


class SteppedClock(HandClock):
    """A clock whose wall time a test can step; uptime is steady."""

    off_s = 0.0
    synced = True

    def now(self) -> Instant:
        at = an_instant(self.uptime_s - 3600)
        wall = an_instant(self.uptime_s - 3600 + self.off_s).wall
        return an_instant(at.uptime_s - 3600, wall=wall, synced=self.synced)


YEAR_S = 365 * DAY_S


@pytest.mark.parametrize("step_s", [YEAR_S, -YEAR_S])
def test_a_wall_clock_that_steps_a_year_makes_no_finding_and_loses_none(tmp_path: Path, step_s: float) -> None:
    fault = DiskFilling(start_s=4000, lasts_s=1800)
    findings = {}
    for name, off_s in (("steady", 0.0), ("stepping", step_s)):
        clock = SteppedClock(1000.0)
        outbox = Outbox(tmp_path / f"{name}.db")
        agent = an_agent(outbox, clock, fault)
        run_for(agent, clock, 3300.0)
        clock.off_s = off_s
        run_for(agent, clock, 600.0)
        clock.off_s = 0.0
        run_for(agent, clock, 3000.0)
        findings[name] = [
            (one.fault, one.phase, one.at.uptime_s) for one in pending_records(outbox) if isinstance(one, Finding)
        ]
        batches = len(outbox.after(Lane.TELEMETRY, 0, 1000))
        assert batches == 6900 // 900, "the schedule of telemetry is unchanged"
        outbox.close()
    assert findings["steady"]
    assert findings["stepping"] == findings["steady"]


def test_a_suspend_of_hours_makes_no_finding_and_no_burst_of_samples(tmp_path: Path) -> None:
    """netdata #1225: a suspend gave ten critical mails. CLOCK_BOOTTIME runs on through it."""
    clock, outbox = HandClock(1000.0), Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock)
    run_for(agent, clock, 1800.0)
    clock.uptime_s += 8 * 3600.0
    run_for(agent, clock, 1800.0)
    assert pending_records(outbox) == []
    outbox.close()
    assert SystemClock().now().uptime_s == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=5)


def test_records_from_before_the_first_clock_sync_are_backdated(tmp_path: Path) -> None:
    """No clock in the device, and offline at boot: its date is 1970 until a time server is found."""
    clock = SteppedClock(1000.0)
    clock.synced, clock.off_s = False, -56 * YEAR_S
    outbox = Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock, DiskFilling(start_s=2000, lasts_s=3600))
    run_for(agent, clock, 3600.0)
    before = [one for one in pending_records(outbox) if isinstance(one, Finding)]
    assert before
    assert all(one.at.wall.year < 1990 for one in before)
    clock.synced, clock.off_s = True, 0.0
    run_for(agent, clock, 10.0)
    after = [one for one in pending_records(outbox) if isinstance(one, Finding)][: len(before)]
    assert [one.at.uptime_s for one in after] == [one.at.uptime_s for one in before]
    for one in after:
        assert one.at.synced
        assert abs((one.at.wall - an_instant(one.at.uptime_s - 3600).wall).total_seconds()) < 0.01
    outbox.close()


def presence(state: PresenceState) -> Presence:
    return Presence(state=state, at=an_instant(), agent="0.1.0")
