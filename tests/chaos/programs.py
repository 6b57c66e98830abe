"""The processes of a chaos run: broker, cloud, database and agents, with a proxy before the broker on either side."""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from firmware_stubs.processes import SetupError, free_port, is_in_use, mosquitto_command
from tests.chaos.disk import DeviceDisk, mounted_disk
from tests.chaos.postgres import Postgres
from tests.chaos.proxy import Proxy
from tests.chaos.repairs import RepairSchedule

DEVICES = 4


@dataclass(slots=True)
class Program:
    """A process that is started again after a kill."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if not self.is_running:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> bool:
        """End it with SIGKILL; return whether it was running."""
        was_running = self.is_running
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
        return was_running

    def stop(self, timeout_s: float = 30.0) -> None:
        """End it with SIGTERM, as systemd does. Raises SetupError."""
        self.signal(signal.SIGTERM)
        if self.process:
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
                raise SetupError(f"{self.name} did not stop within {timeout_s:.0f} s of SIGTERM") from None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process and self.is_running:
            self.process.send_signal(number)


@dataclass(slots=True)
class Setup:
    """Everything into which faults are injected, and the repairs that are pending."""

    folder: Path
    broker: Program
    cloud: Program
    agents: list[Program]
    disks: dict[str, DeviceDisk]  # by the agent's name
    postgres: Postgres | None
    links: dict[str, Proxy]  # between the broker and "devices" or "cloud"
    database_url: str
    repairs: RepairSchedule = field(default_factory=RepairSchedule)

    def accepted_logs(self) -> dict[str, Path]:
        """Where each device's outbox has written what it accepted."""
        return {one.name: accepted_log(self.folder, one.name) for one in self.agents}

    def drain(self, sleep: Callable[[float], None]) -> bool:
        """Send what the outboxes of the stopped agents hold; return whether all of it was acknowledged.

        Raises what `sleep` raises.
        """
        commands = [_device("drain", self.folder, one.name, self.links["devices"].port) for one in self.agents]
        drains = [subprocess.Popen(command, start_new_session=True) for command in commands]
        try:
            while any(drain.poll() is None for drain in drains):
                sleep(0.1)
            return not any(drain.returncode for drain in drains)
        finally:
            for drain in drains:
                drain.kill()
                drain.wait()


@contextlib.contextmanager
def run_folder(keep: Path | None, database: str) -> Iterator[Path]:
    """Make the folder of a run: a temporary one, or one below `keep`, which stays."""
    if keep:
        (keep / database).mkdir(parents=True, exist_ok=True)
        yield keep / database
        return
    with tempfile.TemporaryDirectory(prefix="forewarn-chaos-") as folder:
        Path(folder).chmod(0o755)  # the database runs as another user
        yield Path(folder)


@contextlib.contextmanager
def running_setup(folder: Path, database: str) -> Iterator[Setup]:
    """Start everything in order; stop it in the opposite order. Raises SetupError and OSError."""
    with ExitStack() as stack:
        postgres = Postgres(folder / "postgres") if database == "postgresql" else None
        if postgres:
            stack.callback(postgres.stop)
            postgres.start()
        url = postgres.url if postgres else f"sqlite+aiosqlite:///{folder / 'cloud' / 'cloud.db'}"
        command = mosquitto_command(folder, port := free_port())
        broker = Program("mosquitto", command, folder / "mosquitto.log")
        links = {"devices": Proxy(port), "cloud": Proxy(port)}
        for proxy in links.values():
            proxy.start()
            stack.callback(proxy.stop)
        cloud = _cloud(folder, url, links["cloud"].port, web_port := free_port())
        names = [f"device-{number}" for number in range(DEVICES)]
        disks = {name: stack.enter_context(mounted_disk(folder / name)) for name in names}
        agents = [
            Program(name, _device("live", folder, name, links["devices"].port), folder / f"{name}.log")
            for name in names
        ]
        for program in (broker, cloud, *agents):
            stack.callback(program.kill)
            program.start()
        _wait_for(port, broker)
        _wait_for(web_port, cloud)
        yield Setup(folder, broker, cloud, agents, disks, postgres, links, url)


def accepted_log(folder: Path, device: str) -> Path:
    """Where the outbox of a device writes what it has accepted: outside its disk, which may be full."""
    return folder / f"{device}.accepted"


def _cloud(folder: Path, database_url: str, mqtt_port: int, web_port: int) -> Program:
    (folder / "cloud").mkdir()
    config = folder / "cloud.toml"
    config.write_text(
        # a device whose clock is a year off dates its telemetry so
        f'[data]\ndir = "{folder / "cloud"}"\ndatabase_url = "{database_url}"\ntelemetry_retention_days = 3650\n'
        f'[broker]\nurl = "mqtt://127.0.0.1:{mqtt_port}"\n[web]\nlisten = "127.0.0.1:{web_port}"\n'
    )
    command = [sys.executable, "-m", "cloud", "run", "--config", str(config)]
    return Program("cloud", command, folder / "cloud.log")


def _agent(folder: Path, name: str, mqtt_port: int) -> Program:
    return Program(name, _device("live", folder, name, mqtt_port), folder / f"{name}.log")


def _device(command: str, folder: Path, name: str, mqtt_port: int) -> list[str]:
    program = [sys.executable, "-m", "tests.chaos.device", command, "--name", name, "--mqtt-port", str(mqtt_port)]
    return [*program, "--state", str(folder / name), "--accepted-log", str(accepted_log(folder, name))]


def _wait_for(port: int, program: Program) -> None:
    deadline = time.monotonic() + 30
    while not is_in_use(port):
        if time.monotonic() > deadline:
            raise SetupError(f"{program.name} does not listen; see {program.log}")
        time.sleep(0.1)
