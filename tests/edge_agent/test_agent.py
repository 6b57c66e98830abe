"""The agent: learned state and findings outlive restarts, and failures are reported."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.agent import Agent, next_due
from edge_agent.assembly import Settings, assemble
from edge_agent.collectors import Collection, Collector
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Outcome, Pipeline
from edge_agent.detection.anomaly import Scorer
from edge_agent.detection.machine import Machine, Machines
from edge_agent.machines.machine_resets import MachineResets, request_reset
from edge_agent.outbox import Outbox
from edge_agent.outbox.detector_state import LEARNED_STATE
from edge_agent.protocol import records
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.telemetry import unpack
from edge_agent.protocol.topics import Lane
from edge_agent.resource_budget import CPU, Budgets
from edge_agent.uplink.mqtt_connection import Link
from firmware_stubs.faults import DiskFilling, Fault
from firmware_stubs.machine import VirtualMachine
from firmware_stubs.processes import free_port
from tests.builders import a_finding
from tests.clocks import HandClock
from tests.edge_agent.detection.machine.pumps import a_machine, healthy_rows, readings
from tests.edge_agent.outbox.test_outbox import crash


def an_agent(
    outbox: Outbox,
    clock: HandClock,
    *faults: Fault,
    collectors: tuple[Collector, ...] = (),
    budgets: Budgets | None = None,
    telemetry: str = "frugal",
    machines: Machines | None = None,
) -> Agent:
    """An agent on virtual hardware, without a broker."""
    settings = Settings(
        device="pump-07", firmware="", hardware="", model="", period_s=1.0, evidence_before_s=600.0,
        evidence_after_s=60.0, telemetry=telemetry, publish_every_min=0, budgets=budgets or Budgets(),
    )  # fmt: skip
    link = Link(
        host="127.0.0.1", port=free_port(), tls=None,
        username=None, password=None, keepalive_s=30,
    )  # fmt: skip
    return assemble(
        settings,
        clock=clock,
        collection=Collection(collectors or (HostCollector(VirtualMachine(clock, "pump-07", faults)),)),
        pipeline=Pipeline(period_s=1.0, horizon_s=3600.0, scorer=Scorer(), machines=machines or Machines()),
        outbox=outbox,
        link=link,
    )


def run_until(folder: Path, clock: HandClock, until_s: float, *faults: Fault) -> Outbox:
    """Run an agent until an uptime, and stop it; return its outbox, opened again."""
    agent, stop = an_agent(Outbox(folder / "outbox.db"), clock, *faults), threading.Event()

    def each(_outcome: Outcome) -> None:
        if clock.uptime_s >= until_s:
            stop.set()

    agent.run(stop, each)
    return Outbox(folder / "outbox.db")


def kinds(outbox: Outbox) -> list[str]:
    pending = [json.loads(body) for _, body in outbox.after(Lane.FINDINGS, 0, 100)]
    return [record.get("phase") or record.get("part") for record in pending]


def test_a_restart_keeps_open_findings_and_learned_state(tmp_path: Path) -> None:
    clock, fault = HandClock(), DiskFilling(start_s=10, lasts_s=600)
    first = run_until(tmp_path, clock, 400, fault)
    sent = kinds(first)
    assert sent[:2] == ["open", "before"]
    assert sent.count("open") == 1
    learned = json.loads(first.learned_state(LEARNED_STATE) or b"{}")
    assert learned["scorer"]["judged"] == 6
    assert [batches[:2] for batches in learned["trends"]["courses"]].count(["disk.filling", "/var/data"]) == 1
    first.close()
    second = run_until(tmp_path, clock, 500, fault)
    assert kinds(second).count("open") == 1, "the open finding is resumed under its id"
    assert json.loads(second.learned_state(LEARNED_STATE) or b"{}")["scorer"]["judged"] > 6
    second.close()


def test_learned_state_of_another_version_is_discarded_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Outbox(tmp_path / "outbox.db")
    store.save_learned_state(LEARNED_STATE, b'{"scorer": {"version": 99}, "trends": {"version": 98}}')
    store.close()
    run_until(tmp_path, HandClock(), 70).close()
    (warning,) = [record.message for record in caplog.records if "is discarded" in record.message]
    assert "scorer: " in warning
    assert "trends: " in warning


def test_findings_on_a_full_disk_are_committed_once_there_is_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock, DiskFilling(start_s=1010, lasts_s=600))
    database = outbox._store.db
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then reports "database or disk is full"
    for second in range(1000, 1350):
        clock.uptime_s = float(second)
        agent.step()
    assert kinds(outbox) == []
    assert caplog.text.count("disk is full") == 1, "logged once, not each second"
    database.execute("PRAGMA max_page_count = 100000")
    clock.uptime_s += 1
    agent.step()
    assert kinds(outbox)[:2] == ["open", "before"]
    assert "can be written again" in caplog.text
    outbox.close()


def test_an_unreadable_part_of_a_source_is_logged_once_when_it_fails_and_once_when_it_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_machine: VirtualMachine) -> None:
        raise PermissionError(13, "Permission denied", "/proc/net/dev")

    caplog.set_level("INFO")
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock)
    for broken in (True, False):
        with monkeypatch.context() as patch:
            if broken:
                patch.setattr(VirtualMachine, "nics", refused)
            for _ in range(30):
                clock.uptime_s += 1
                features = agent.step().features
                assert "system.linux.memory.available" in features
                assert features["forewarn.agent.unreadable"] == broken
    logged = [record.message for record in caplog.records if record.message.startswith("collector")]
    assert len(logged) == 2
    assert logged[0].startswith("collector host.network can't read: PermissionError: ")
    assert logged[1] == "collector host.network reads again"
    outbox.close()


@pytest.mark.parametrize("body", [b"not json", None])
def test_a_finding_of_another_version_is_cleared_and_not_fatal(tmp_path: Path, body: bytes | None) -> None:
    store = Outbox(tmp_path / "outbox.db")
    store.put([], {"old": body or records.encode(a_finding(fault="tea.cold"))})
    store.close()
    after = run_until(tmp_path, HandClock(), 5)
    assert after.open_findings() == {}
    assert kinds(after) == ([] if body else ["clear"])
    after.close()


@pytest.mark.parametrize(("profile", "batches"), [("findings-only", 0), ("frugal", 1), ("full", 60)])
def test_a_profile_decides_which_telemetry_an_hour_leaves(tmp_path: Path, profile: str, batches: int) -> None:
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock, telemetry=profile)
    for second in range(0, 3601, 10):
        clock.uptime_s = float(second)
        agent.step()
    records = outbox.after(Lane.TELEMETRY, 0, 100)
    assert len(records) == batches
    for _, record in records:
        assert len(unpack(record).columns) >= 40
    outbox.close()


def test_a_damaged_store_is_reported_as_a_finding_that_clears_by_itself_and_its_loss_is_declared(
    tmp_path: Path,
) -> None:
    first = Outbox(tmp_path / "outbox.db")
    first.put([records.encode(a_finding())])
    first.close()
    (tmp_path / "outbox.db").write_bytes(b"x" * 20_000)
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock)
    agent.delivery.resume(clock.now())
    for _ in range(700):
        clock.uptime_s += 1
        agent.step()
    pending = [json.loads(body) for _, body in outbox.after(Lane.FINDINGS, 0, 100)]
    findings = [(one["fault"], one["phase"]) for one in pending if one["kind"] == "finding"]
    assert findings == [("agent.store_damaged", "open"), ("agent.store_damaged", "clear")]
    assert "outbox.db.damaged-" in pending[0]["reason"]
    assert str(tmp_path) not in pending[0]["reason"], "no folder names leave the device"
    (lost,) = outbox.undeclared()
    assert (lost.lane, lost.first_seq, lost.last_seq) == (Lane.FINDINGS, 1, 1)
    outbox.close()


def test_a_store_found_damaged_in_use_is_replaced_and_the_agent_continues(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock, DiskFilling(start_s=1010, lasts_s=600))
    clock.uptime_s = 1000.0
    agent.step()
    outbox._store.db.execute("DROP TABLE record")
    for _ in range(300):
        clock.uptime_s += 1
        agent.step()
    assert outbox.damage is not None
    assert "open" in kinds(outbox)
    assert caplog.text.count("is set aside") == 1
    outbox.close()


def test_an_agent_over_its_budget_samples_less_often_reports_it_and_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    burning = 0.5

    class SelfUsage:
        name = "self_usage"

        def collect(self, _now: Instant) -> dict[str, float]:
            return {CPU: burning, "system.memory.limit": 1e9}

    agent = an_agent(outbox, clock, collectors=(SelfUsage(),), budgets=Budgets(cpu=0.1))
    samples = 0

    def until(uptime_s: float) -> None:
        nonlocal samples
        samples = 0
        while clock.uptime_s < uptime_s:
            agent.step()
            samples += 1
            clock.uptime_s += agent.current_period_s

    until(590.0)
    assert samples == 590
    until(2500.0)
    until(2900.0)
    assert samples == 100, "at a quarter of the rate"
    pending = [json.loads(body) for _, body in outbox.after(Lane.FINDINGS, 0, 100)]
    (opened,) = [one for one in pending if one["kind"] == "finding" and one["phase"] == "open"]
    assert (opened["fault"], opened["component"], opened["severity"]) == ("agent.over_budget", "cpu", "info")
    telemetry_up_to = outbox.last_seq(Lane.TELEMETRY)
    burning = 0.01
    until(3600.0 * 4)
    assert kinds(outbox)[-1] == "clear"
    assert agent.current_period_s == 1.0
    assert outbox.last_seq(Lane.TELEMETRY) > telemetry_up_to
    assert caplog.text.count("degradation level is now findings_only") == 1
    outbox.close()


@pytest.mark.parametrize(("telemetry", "ahead"), [("frugal", 6), ("full", 360), ("findings-only", 0)])
def test_a_power_cut_declares_the_reserved_telemetry_numbers_lost_and_no_others(
    tmp_path: Path, telemetry: str, ahead: int
) -> None:
    clock, outbox = HandClock(), Outbox(tmp_path / "outbox.db")
    agent = an_agent(outbox, clock, telemetry=telemetry)
    for _ in range(20):
        clock.uptime_s += 1.0
        agent.step()
    crash(outbox)
    again = Outbox(tmp_path / "outbox.db")
    missed = [(lost.lane, lost.first_seq, lost.last_seq) for lost in again.undeclared()]
    assert missed == ([(Lane.TELEMETRY, 1, ahead)] if ahead else [])
    again.close()


@given(st.floats(0, 1e6), st.floats(0, 1000), st.sampled_from([0.1, 1.0, 60.0]))
def test_the_schedule_does_not_drift_and_skips_missed_samples(due_s: float, late_s: float, period_s: float) -> None:
    due_next = next_due(due_s, due_s + late_s, period_s)
    assert due_next > due_s + late_s - 1e-6 * max(1.0, due_s)
    assert due_next <= due_s + late_s + period_s * (1 + 1e-6) + 1e-6 * max(1.0, due_s)


def test_a_request_to_reset_an_unknown_machine_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agent = an_agent(Outbox(tmp_path / "outbox.db"), HandClock(3600.0))
    agent.resets = MachineResets(tmp_path)
    request_reset(tmp_path, "fan")

    agent.step()

    assert "machine fan is not configured; nothing was reset" in caplog.messages


class PumpReadings:
    """A healthy pump, a row a sample."""

    name = "machine feed pump"

    def __init__(self) -> None:
        self._rows = iter(healthy_rows(200))

    def collect(self, _now: Instant) -> Mapping[str, float]:
        return readings(next(self._rows))


def test_a_power_cut_neither_loses_a_healthy_start_nor_brings_back_one_that_was_reset(tmp_path: Path) -> None:
    def started(samples: int) -> tuple[Machine, Agent]:
        machine = a_machine(start_s=60)
        agent = an_agent(
            Outbox(tmp_path / "outbox.db"), clock, collectors=(PumpReadings(),), machines=Machines([machine])
        )
        agent.resets = MachineResets(tmp_path)
        agent.delivery.resume(clock.now())
        for _ in range(samples):
            clock.uptime_s += 1.0
            agent.step()
        return machine, agent

    clock = HandClock()
    machine, agent = started(60)
    assert not machine.learning
    crash(agent.delivery.outbox)

    machine, agent = started(0)
    assert not machine.learning
    request_reset(tmp_path, machine.settings.name)
    clock.uptime_s += 1.0
    agent.step()
    crash(agent.delivery.outbox)

    machine, agent = started(1)
    assert machine.learning
    agent.delivery.outbox.close()


def test_malformed_messages_on_expected_trends_are_a_metric(tmp_path: Path) -> None:
    clock = HandClock()
    agent = an_agent(Outbox(tmp_path / "outbox.db"), clock)
    agent.step()
    agent.delivery.uplink.malformed_expected += 2
    clock.uptime_s += 4.0

    assert agent.step().features["forewarn.agent.expected.malformed"] == 0.5
