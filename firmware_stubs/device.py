"""A virtual device: the real agent on virtual hardware, in a thread of its own."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.agent import Agent
from edge_agent.artifacts import load_fleet, shipped
from edge_agent.assembly import Settings, assemble
from edge_agent.collectors import Collection
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly.scorer import DETECTOR, Scorer
from edge_agent.detection.relations import Relations
from edge_agent.outbox import Outbox
from edge_agent.uplink.mqtt_connection import Link
from firmware_stubs.clock import VirtualClock
from firmware_stubs.faults import Fault
from firmware_stubs.machine import VirtualMachine


@dataclass(slots=True)
class VirtualDevice:
    """One device of a fleet. Call `start` and `stop` once each. `error` is what ended its thread, if anything did."""

    name: str
    clock: VirtualClock
    faults: tuple[Fault, ...]
    broker: tuple[str, int]
    state_dir: Path
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    error: BaseException | None = None

    def start(self) -> None:
        """Start the agent in its thread."""
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._thread.start()

    def stop(self) -> None:
        """Stop the agent and wait until its state is on disk."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._agent().run(self._stop)
        except BaseException as error:
            self.error = error

    def _agent(self) -> Agent:
        settings = Settings(
            device=self.name,
            firmware="virtual-1",
            hardware="Forewarn virtual device",
            model=DETECTOR,
            period_s=1.0,
            evidence_before_s=600.0,
            evidence_after_s=60.0,
            telemetry="frugal",
            publish_every_min=60,
        )
        host, port = self.broker
        return assemble(
            settings,
            clock=self.clock,
            collection=Collection((HostCollector(VirtualMachine(self.clock, self.name, self.faults)),)),
            pipeline=Pipeline(
                period_s=1.0, horizon_s=72 * 3600.0, scorer=Scorer(), relations=Relations(load_fleet(shipped()))
            ),
            outbox=Outbox(self.state_dir / f"{self.name}.db"),
            link=Link(
                host=host, port=port, tls=None,
                username=None, password=None, keepalive_s=30,
            ),
        )  # fmt: skip
