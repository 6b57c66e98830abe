"""What the tiny networks cost a device: one inference, and the real agent without and with them.

What flows in: for how long to watch each agent, in seconds. What flows out: for each network the CPU time of one
inference; for each of three agents, one after the other so that none shares its memory with another, its share of one
core, its proportional set size, and whether the interpreter was loaded:

- nothing rises, and there is no machine: the interpreter is not loaded;
- the network for trends is loaded;
- a virtual pump of eight channels is read and evaluated every second as well, with the shipped network for pumps.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.artifacts.tflite_network import TfliteNetwork, load_network, shipped_network
from edge_agent.assembly import PERSISTENCE
from edge_agent.detection.machine.classifier import feature_names
from edge_agent.detection.trends.persistence_features import FEATURES
from firmware_stubs.device import PUMP_NETWORK
from firmware_stubs.processes import free_port, running_agent, running_cloud, running_mosquitto
from firmware_stubs.pump import CHANNELS, FAST_CHANNELS, PumpCollector, VirtualPump, series_of
from tests.bench.agent import Cost, Program, watch
from tests.bench.agent_with_networks import PUMP
from tests.bench.steps import cpu_us

WARM_UP_S = 180.0  # the windows of a machine are full two minutes after a start
LIBRARIES = (b"tflite_runtime", b"ai_edge_litert")
_MACHINE = """
[[machines]]
name = "{name}"
artifact = "{artifact}"
readings = "{readings}"
channels = {{ {channels} }}
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """What an agent cost, and whether it had loaded the interpreter at the end."""

    cost: Cost
    interpreter: bool


def inferences() -> dict[str, tuple[float, float]]:
    """Return median and p99 of one inference of each shipped network, in microseconds of CPU time."""
    networks = {PERSISTENCE: FEATURES, PUMP_NETWORK: feature_names(FAST_CHANNELS)}
    return {
        name: cpu_us(_inference(load_network(shipped_network(name), features))) for name, features in networks.items()
    }


def _inference(network: TfliteNetwork) -> Callable[[], object]:
    row = np.random.default_rng(0).normal(size=(1, len(network.features)))
    network.check().run(row)
    return lambda: network.run(row)


def agents(folder: Path, seconds: float) -> dict[str, Watched]:
    """Watch the agent without a network, with the one for trends, and with a machine beside it."""
    return {
        "no network in use": _watched(folder / "none", seconds),
        "the network for trends loaded": _watched(folder / "trends", seconds, networks=True),
        "and a pump of 8 channels with its network": _watched(folder / "pump", seconds, networks=True, pump=True),
    }


def _watched(folder: Path, seconds: float, *, networks: bool = False, pump: bool = False) -> Watched:
    folder.mkdir()
    readings = folder / "readings"
    module = "tests.bench.agent_with_networks" if networks else ""
    with ExitStack() as stack:
        port = free_port()
        stack.enter_context(running_mosquitto(folder, port))
        stack.enter_context(running_cloud(folder, free_port(), port, "--broker", f"mqtt://127.0.0.1:{port}"))
        if pump:
            stack.enter_context(_readings_of_a_pump(readings))
        settings = _table(readings) if pump else ""
        process = stack.enter_context(running_agent(folder, "bench", port, settings=settings, module=module))
        time.sleep(WARM_UP_S)
        (cost,) = watch([Program(name="edge-agent", process=process)], seconds).values()
        maps = Path(f"/proc/{process.pid}/maps").read_bytes()
        return Watched(cost, any(library in maps for library in LIBRARIES))


def _table(readings: Path) -> str:
    names = series_of(PUMP)
    channels = ", ".join(f'{channel} = "{names[channel]}"' for channel in FAST_CHANNELS)
    return _MACHINE.format(name=PUMP, artifact=PUMP_NETWORK, readings=readings, channels=channels)


@contextmanager
def _readings_of_a_pump(file: Path) -> Iterator[None]:
    """Write all channels of a healthy pump every second, as a program beside the agent does."""
    stop, pump = threading.Event(), PumpCollector(PUMP, VirtualPump(PUMP))

    def write() -> None:
        started, partial = time.monotonic(), file.with_suffix(".tmp")
        while not stop.wait(1.0):
            lines = pump.readings(time.monotonic() - started)
            assert len(lines) == len(CHANNELS)
            partial.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
            partial.replace(file)

    thread = threading.Thread(target=write, name="pump")
    thread.start()
    while not file.exists():
        time.sleep(0.1)
    try:
        yield
    finally:
        stop.set()
        thread.join()
