"""The stage of demo and smoke: a cloud and the real agent as processes of their own, and virtual devices."""

import secrets
import shutil
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
from firmware_stubs.cloud_client import Console
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import Fault

REAL_DEVICE = "this-machine"


class StageError(RuntimeError):
    """Something did not come up; one line for a person."""


class NoMosquittoError(StageError):
    """Mosquitto is not installed."""

    def __init__(self) -> None:
        super().__init__("there is no Mosquitto here; apt-get install mosquitto")


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
    folder: Path

    def check(self) -> None:
        """Raise StageError if anything has ended by itself."""
        for name, process in (("support-cloud", self.cloud), ("edge-agent", self.agent)):
            if process.poll() is not None:
                raise StageError(f"{name} ended with exit code {process.returncode}; see the logs in {self.folder}")
        for device in self.devices:
            if device.error is not None:
                raise StageError(f"virtual device {device.name} failed: {device.error!r}")


@contextmanager
def on_stage(plan: Plan, say: Callable[[str], None]) -> Iterator[Stage]:
    """Start everything in order, and stop it in the opposite order, whatever happens."""
    with ExitStack() as stack:
        console, cloud = stack.enter_context(running_cloud(plan.folder, plan.web_port, plan.mqtt_port))
        say("cloud, database and MQTT broker are up")
        agent = stack.enter_context(running_agent(plan.folder, REAL_DEVICE, plan.mqtt_port))
        say(f"the real agent watches this machine as {REAL_DEVICE!r}")
        devices = []
        for name, faults in plan.faults.items():
            clock = VirtualClock(plan.speed)
            device = VirtualDevice(name, clock, faults, ("127.0.0.1", plan.mqtt_port), plan.folder / "devices")
            device.start()
            stack.callback(device.stop)
            devices.append(device)
        say(f"virtual devices are up: {', '.join(plan.faults)}")
        yield Stage(console, agent, cloud, tuple(devices), plan.folder)


@contextmanager
def running_cloud(
    folder: Path, web_port: int, mqtt_port: int, *options: str
) -> Iterator[tuple[Console, subprocess.Popen[bytes]]]:
    """Run a cloud with its state below `folder`, kept from run to run; `options` take the place of its own broker."""
    folder.mkdir(parents=True, exist_ok=True)
    password_file = folder / "password"
    if not password_file.exists():
        password_file.touch(mode=0o600)
        password_file.write_text(secrets.token_urlsafe(9))
    command = [
        sys.executable, "-m", "cloud", "run", "--data", str(folder / "cloud"), "--web", f"127.0.0.1:{web_port}",
        *(options or ("--mqtt", f"127.0.0.1:{mqtt_port}")), "--password-file", str(password_file),
    ]  # fmt: skip
    with _process(command, folder / "cloud.log") as process:
        console = Console(f"http://127.0.0.1:{web_port}", "admin", password_file.read_text())
        _wait_for(console.healthy, process, folder / "cloud.log", "support-cloud")
        yield console, process


@contextmanager
def running_agent(folder: Path, name: str, mqtt_port: int, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the real agent on this machine with its state below `folder`; `prefix` is a command to run it under."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"{name}.toml"
    config.write_text(
        f'[device]\nid = "{name}"\n\n[mqtt]\nurl = "mqtt://127.0.0.1:{mqtt_port}"\n\n[state]\ndir = "{folder / name}"\n'
    )
    command = [*prefix, sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
    with _process(command, folder / f"{name}.log") as process:
        yield process


def mosquitto_command(folder: Path, port: int, *settings: str) -> list[str]:
    """Configure Debian's Mosquitto for a port of loopback, with further lines; return how to start it."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise NoMosquittoError
    config = folder / "mosquitto.conf"
    config.write_text("\n".join((f"listener {port} 127.0.0.1", "allow_anonymous true", *settings, "")))
    return [program, "-c", str(config)]


@contextmanager
def running_mosquitto(folder: Path, port: int, *settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Mosquitto that listens."""
    log = folder / "mosquitto.log"
    with _process(mosquitto_command(folder, port, *settings), log) as process:
        _wait_for(lambda: is_taken(port), process, log, "mosquitto")
        yield process


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in its own session (Ctrl-C is ours to pass on); end it with SIGTERM, after 10 s with SIGKILL."""
    with log.open("ab") as output:
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


def is_taken(port: int) -> bool:
    """Say whether somebody listens on a TCP port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
