"""Process set-up of demo and smoke: a cloud and the real agent as child processes, and virtual devices as threads."""

import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from firmware_stubs.clock import VirtualClock
from firmware_stubs.cloud_client import Console
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import Fault

REAL_DEVICE = "this-machine"


class SetupError(RuntimeError):
    """A process could not start, or ended early; the message is one line for a person."""


class NoMosquittoError(SetupError):
    """Mosquitto is not installed."""

    def __init__(self) -> None:
        super().__init__("Mosquitto is not installed; run: apt-get install mosquitto")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start. `faults` maps each virtual device to its injected faults."""

    folder: Path
    web_port: int
    mqtt_port: int
    speed: float
    faults: dict[str, tuple[Fault, ...]]
    pumps: Mapping[str, str] = field(default_factory=dict)  # device to the name of the pump beside it


@dataclass(frozen=True, slots=True)
class Setup:
    """The running processes and devices."""

    console: Console
    agent: subprocess.Popen[bytes]
    cloud: subprocess.Popen[bytes]
    devices: tuple[VirtualDevice, ...]
    folder: Path

    def check(self) -> None:
        """Raise SetupError if a process or device has ended unexpectedly."""
        for name, process in (("support-cloud", self.cloud), ("edge-agent", self.agent)):
            if process.poll() is not None:
                raise SetupError(f"{name} exited with code {process.returncode}; see the logs in {self.folder}")
        for device in self.devices:
            if device.error is not None:
                raise SetupError(f"virtual device {device.name} failed: {device.error!r}")


@contextmanager
def running_setup(plan: Plan, report: Callable[[str], None]) -> Iterator[Setup]:
    """Start everything in order; stop it in reverse order, also after an error. `report` receives progress lines."""
    with ExitStack() as stack:
        console, cloud = stack.enter_context(running_cloud(plan.folder, plan.web_port, plan.mqtt_port))
        report("started the cloud with its database and MQTT broker")
        agent = stack.enter_context(running_agent(plan.folder, REAL_DEVICE, plan.mqtt_port))
        report(f"started the real agent; it monitors this machine as {REAL_DEVICE!r}")
        devices = []
        for name, faults in plan.faults.items():
            clock = VirtualClock(plan.speed)
            device = VirtualDevice(name, clock, faults, ("127.0.0.1", plan.mqtt_port), plan.folder / "devices")
            device.pump = plan.pumps.get(name, "")
            device.start()
            stack.callback(device.stop)
            devices.append(device)
        report(f"started virtual devices: {', '.join(plan.faults)}")
        yield Setup(console, agent, cloud, tuple(devices), plan.folder)


@contextmanager
def running_cloud(
    folder: Path, web_port: int, mqtt_port: int, *options: str
) -> Iterator[tuple[Console, subprocess.Popen[bytes]]]:
    """Run a cloud with its state below `folder`, kept from run to run; `options` replace its own broker."""
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
def running_agent(
    folder: Path, name: str, mqtt_port: int, *prefix: str, settings: str = "", module: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the real agent on this machine with its state below `folder`.

    `prefix` is a command to run it under, `settings` further tables of its configuration; `module` is run instead of
    `edge_agent run`, with the configuration as its argument.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"{name}.toml"
    config.write_text(
        f'[device]\nid = "{name}"\n\n[mqtt]\nurl = "mqtt://127.0.0.1:{mqtt_port}"\n\n'
        f'[state]\ndir = "{folder / name}"\n{settings}'
    )
    program = (module,) if module else ("edge_agent", "run", "--config")
    command = [*prefix, sys.executable, "-m", *program, str(config)]
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
    """Run a Mosquitto; yield it once it listens."""
    log = folder / "mosquitto.log"
    with _process(mosquitto_command(folder, port, *settings), log) as process:
        _wait_for(lambda: is_in_use(port), process, log, "mosquitto")
        yield process


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in its own session (Ctrl-C does not reach it); end it with SIGTERM, after 10 s with SIGKILL."""
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
            last = (log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"])[-1]
            raise SetupError(f"{name} did not start: {last}")
        if time.monotonic() > deadline:
            raise SetupError(f"{name} did not respond within 60 s; see {log}")
        time.sleep(0.2)


def free_port() -> int:
    """Return a TCP port of loopback that is not in use.

    It is below those that Linux gives to outgoing connections (from 32,768), so none of these takes it meanwhile.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def is_in_use(port: int) -> bool:
    """Return whether a program listens on a TCP port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
