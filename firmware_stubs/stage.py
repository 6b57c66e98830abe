"""The stage of demo and smoke: a cloud and the real agent as processes of their own, and virtual devices."""

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware_stubs.clock import VirtualClock
from firmware_stubs.console import Console
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import Fault

REAL_DEVICE = "this-machine"


class StageError(RuntimeError):
    """Something did not come up; one line for a person."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to put on the stage. `faults` maps each virtual device to what is wrong with it."""

    folder: Path
    web_port: int
    mqtt_port: int
    speed: float
    faults: dict[str, tuple[Fault, ...]]


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs now."""

    console: Console
    agent: subprocess.Popen[bytes]
    cloud: subprocess.Popen[bytes]
    devices: tuple[VirtualDevice, ...]

    def check(self) -> None:
        """Raise StageError if anything has ended by itself."""
        for name, process in (("support-cloud", self.cloud), ("edge-agent", self.agent)):
            if process.poll() is not None:
                raise StageError(f"{name} ended with exit code {process.returncode}")
        for device in self.devices:
            if device.error is not None:
                raise StageError(f"virtual device {device.name} failed: {device.error!r}")


@contextmanager
def on_stage(plan: Plan, say: Callable[[str], None]) -> Iterator[Stage]:
    """Start everything in order, and stop it in the opposite order, whatever happens."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        console, cloud = _start_cloud(plan, stack)
        say("cloud, database and MQTT broker are up")
        agent = _start_agent(plan, stack)
        say(f"the real agent watches this machine as {REAL_DEVICE!r}")
        devices = tuple(_start_devices(plan, stack))
        say(f"virtual devices are up: {', '.join(device.name for device in devices)}")
        yield Stage(console, agent, cloud, devices)


def _start_cloud(plan: Plan, stack: ExitStack) -> tuple[Console, subprocess.Popen[bytes]]:
    password = secrets.token_urlsafe(9)
    password_file = plan.folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    command = [
        sys.executable, "-m", "cloud", "run", "--data", str(plan.folder / "cloud"),
        "--mqtt", f"127.0.0.1:{plan.mqtt_port}", "--web", f"127.0.0.1:{plan.web_port}",
        "--password-file", str(password_file),
    ]  # fmt: skip
    process = stack.enter_context(_process(command, plan.folder / "cloud.log"))
    console = Console(f"http://127.0.0.1:{plan.web_port}", "admin", password)
    _wait_for(console.healthy, process, plan.folder / "cloud.log", "support-cloud")
    return console, process


def _start_agent(plan: Plan, stack: ExitStack) -> subprocess.Popen[bytes]:
    config = plan.folder / "agent.toml"
    config.write_text(
        f'[device]\nid = "{REAL_DEVICE}"\n\n[mqtt]\nurl = "mqtt://127.0.0.1:{plan.mqtt_port}"\n\n'
        f'[state]\ndir = "{plan.folder / "agent"}"\n'
    )
    return stack.enter_context(
        _process([sys.executable, "-m", "edge_agent", "run", "--config", str(config)], plan.folder / "agent.log")
    )


def _start_devices(plan: Plan, stack: ExitStack) -> Iterator[VirtualDevice]:
    for name, faults in plan.faults.items():
        clock = VirtualClock(plan.speed)
        device = VirtualDevice(name, clock, faults, ("127.0.0.1", plan.mqtt_port), plan.folder / "devices")
        device.start()
        stack.callback(device.stop)
        yield device


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in its own session (Ctrl-C is ours to pass on); end it with SIGTERM, after 10 s with SIGKILL."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)  # noqa: S603  our own programs
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, name: str) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        if process.poll() is not None:
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise StageError(f"{name} did not start: {last}")
        if time.monotonic() > deadline:
            raise StageError(f"{name} did not answer within 60 s; see {log}")
        time.sleep(0.2)


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
