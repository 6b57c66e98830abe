"""A virtual device: the real agent on virtual hardware, in a thread of its own."""

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.agent import Agent
from edge_agent.artifacts.fleet import load_fleet, shipped
from edge_agent.artifacts.tflite_network import ArtifactError, TfliteNetwork, load_network, shipped_network
from edge_agent.assembly import Settings, assemble, persistence_network
from edge_agent.collectors import Collection, Collector
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly.scorer import DETECTOR, Scorer
from edge_agent.detection.machine import Machine, Machines, MachineSettings
from edge_agent.detection.machine.classifier import feature_names
from edge_agent.detection.relations import Relations
from edge_agent.outbox import Outbox
from edge_agent.uplink.mqtt_connection import Link
from firmware_stubs.clock import UP_S, VirtualClock
from firmware_stubs.faults import Fault, PumpFault
from firmware_stubs.machine import VirtualMachine
from firmware_stubs.pump import FAST_CHANNELS, PumpCollector, VirtualPump, series_of

log = logging.getLogger(__name__)

PUMP_NETWORK = "pump-1"


@dataclass(slots=True)
class VirtualDevice:
    """One device of a fleet. Call `start` and `stop` once each. `error` is what ended its thread, if anything did."""

    name: str
    clock: VirtualClock
    faults: tuple[Fault, ...]
    broker: tuple[str, int]
    state_dir: Path
    pump: str = ""  # name of a pump beside the device, if there is one
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
            collection=Collection(self._collectors()),
            pipeline=Pipeline(
                period_s=1.0, horizon_s=72 * 3600.0, scorer=Scorer(), relations=Relations(load_fleet(shipped())),
                machines=Machines([self._machine()] if self.pump else []), network=persistence_network(),
            ),
            outbox=Outbox(self.state_dir / f"{self.name}.db"),
            link=Link(
                host=host, port=port, tls=None,
                username=None, password=None, keepalive_s=30,
            ),
        )  # fmt: skip

    def _collectors(self) -> tuple[Collector, ...]:
        host = HostCollector(VirtualMachine(self.clock, self.name, self.faults))
        return (host, PumpCollector(self.pump, self._virtual_pump())) if self.pump else (host,)

    def _virtual_pump(self) -> VirtualPump:
        return VirtualPump(self.name, tuple(fault for fault in self.faults if isinstance(fault, PumpFault)))

    def _machine(self) -> Machine:
        """Return the pump as the agent knows it after an hour: it has learned the hour before the start."""
        channels = {channel: series_of(self.pump)[channel] for channel in FAST_CHANNELS}
        machine = Machine(MachineSettings(name=self.pump, channels=channels, start_s=int(UP_S)), pump_network())
        collector = PumpCollector(self.pump, self._virtual_pump())
        for second in range(int(UP_S)):
            machine.step(collector.readings(float(second)), float(second))
        return machine


def pump_network() -> TfliteNetwork | None:
    """Return the shipped network for pumps; None where it can't be used."""
    try:
        return load_network(shipped_network(PUMP_NETWORK), feature_names(FAST_CHANNELS))
    except ArtifactError as error:
        log.warning("%s; the pump is evaluated by statistics only", error)
        return None
