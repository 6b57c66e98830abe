"""`make chaos`: real agents, Mosquitto, the cloud and its database under load, while all of them are killed.

What flows in: a length, a seed, and which databases to use, one after the other. What flows out: a line for each blow,
and as the last line JSON: {"accepted", "stored", "declared_lost", "missing", "duplicates", "kills"}.

Blows: SIGKILL for an agent, the broker, the cloud, the database; the network cut or slow; the disk of a device full,
or read-only when it starts; its wall clock a year off. In the end everything is mended, the devices send what they
hold, and every record that an agent had accepted is looked for in the database. The same seed gives the same blows at
the same times.

Exit codes: 0 nothing is missing and nothing is there twice, 1 something is, 2 wrong command line, or the stage failed.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from firmware_stubs.processes import SetupError, free_port, is_in_use, mosquitto_command
from tests.chaos.accounts import Balance, balance
from tests.chaos.postgres import Postgres
from tests.chaos.proxy import Proxy

DEVICES = 4
DISK = "24m"
SETTLE_S = 8.0  # of peace in the end, before the devices are stopped and drained
BLOW_EVERY_S = (1.0, 3.0)
DOWN_FOR_S = (0.0, 3.0)


@dataclass(slots=True)
class Program:
    """A process that is started again after a kill."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, unless it runs."""
        if self.process is None or self.process.poll() is not None:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> bool:
        """End it without a word; say whether it was alive."""
        lived = self.process is not None and self.process.poll() is None
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
        return lived

    def stop(self, timeout_s: float = 30.0) -> None:
        """End it as systemd does."""
        self.signal(signal.SIGTERM)
        if self.process:
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise SetupError(f"{self.name} did not stop within {timeout_s:.0f} s of SIGTERM") from None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)


@dataclass(slots=True)
class Stage:
    """Everything that can be struck."""

    folder: Path
    broker: Program
    cloud: Program
    agents: list[Program]
    postgres: Postgres | None
    device_link: Proxy
    cloud_link: Proxy
    database_url: str
    mend_at: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def later(self, seconds: float, mend: Callable[[], object]) -> None:
        """Do something in so many seconds."""
        self.mend_at.append((time.monotonic() + seconds, mend))

    def mend(self, *, everything: bool = False) -> None:
        """Do what is due."""
        now_s = time.monotonic()
        due = [mend for at_s, mend in self.mend_at if everything or at_s <= now_s]
        self.mend_at = [] if everything else [(at_s, mend) for at_s, mend in self.mend_at if at_s > now_s]
        for mend in due:
            mend()


def main() -> int:
    """Run it once for each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("CHAOS_SECONDS", "120")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CHAOS_SEED", "1")))
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="folder for logs and stores (default: a temporary one)"
    )
    options = parser.parse_args()
    kills, balances = 0, []
    try:
        for number, kind in enumerate(options.databases):
            with _folder(options.keep, kind) as folder, _stage(folder, kind) as stage:
                rng = random.Random(f"{options.seed}/{number}")
                kills += _rage(stage, rng, options.seconds / len(options.databases))
                balances.append(_settle(stage))
                _say(f"{kind}: {_words(balances[-1])}")
    except (SetupError, OSError, subprocess.SubprocessError) as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    sums = Counter[str]()
    for one in balances:
        sums.update(_words(one))
    print(json.dumps(dict(sums) | {"kills": kills}))
    return 0 if sums["missing"] == sums["duplicates"] == 0 else 1


def _words(one: Balance) -> dict[str, int]:
    return {
        "accepted": one.accepted.total(),
        "stored": one.stored,
        "declared_lost": one.declared_lost.total(),
        "missing": len(one.missing),
        "duplicates": one.duplicates,
    }


@contextlib.contextmanager
def _folder(keep: Path | None, kind: str) -> Iterator[Path]:
    if keep:
        (keep / kind).mkdir(parents=True, exist_ok=True)
        yield keep / kind
        return
    with tempfile.TemporaryDirectory(prefix="forewarn-chaos-") as folder:
        Path(folder).chmod(0o755)  # the database's user must find its folder
        yield Path(folder)


@contextlib.contextmanager
def _stage(folder: Path, kind: str) -> Iterator[Stage]:
    """Start everything in order; stop it in the opposite order."""
    with ExitStack() as stack:
        postgres = Postgres(folder / "postgres") if kind == "postgresql" else None
        if postgres:
            postgres.start()
            stack.callback(postgres.stop)
        url = postgres.url if postgres else f"sqlite+aiosqlite:///{folder / 'cloud' / 'cloud.db'}"
        command = mosquitto_command(folder, port := free_port())
        broker = Program("mosquitto", command, folder / "mosquitto.log")
        device_link, cloud_link = Proxy(port), Proxy(port)
        for proxy in (device_link, cloud_link):
            proxy.start()
            stack.callback(proxy.stop)
        cloud = _cloud(folder, url, cloud_link.port, web_port := free_port())
        agents = [_agent(folder, f"device-{number}", device_link.port, stack) for number in range(DEVICES)]
        for program in (broker, cloud, *agents):
            program.start()
            stack.callback(program.kill)
        _wait_for(port, broker)
        _wait_for(web_port, cloud)
        yield Stage(folder, broker, cloud, agents, postgres, device_link, cloud_link, url)


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


def _agent(folder: Path, name: str, mqtt_port: int, stack: ExitStack) -> Program:
    state = folder / name
    state.mkdir()
    if os.geteuid() == 0:  # a small disk of its own, which can be filled
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(state)]
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            stack.callback(subprocess.run, ["umount", "--lazy", str(state)], check=False)
    return Program(name, _device("live", folder, name, mqtt_port), folder / f"{name}.log")


def _device(command: str, folder: Path, name: str, mqtt_port: int) -> list[str]:
    state, ledger = folder / name, folder / f"{name}.ledger"
    program = [sys.executable, "-m", "tests.chaos.device", command, "--name", name, "--mqtt-port", str(mqtt_port)]
    return [*program, "--state", str(state), "--ledger", str(ledger)]


def _wait_for(port: int, program: Program) -> None:
    deadline = time.monotonic() + 30
    while not is_in_use(port):
        if time.monotonic() > deadline:
            raise SetupError(f"{program.name} does not listen; see {program.log}")
        time.sleep(0.1)


def _rage(stage: Stage, rng: random.Random, seconds: float) -> int:
    """Strike again and again; return how many processes were killed."""
    began_s, next_s, kills = time.monotonic(), 2.0, 0
    while next_s < seconds:
        while time.monotonic() - began_s < next_s:
            stage.mend()
            time.sleep(0.05)
        words, killed = _strike(stage, rng)
        kills += killed
        _say(f"{next_s:6.1f} s  {words}")
        next_s += rng.uniform(*BLOW_EVERY_S)
    return kills


def _strike(stage: Stage, rng: random.Random) -> tuple[str, int]:
    """Deal one blow; return what it was, and whether it killed."""
    agent, down_s = rng.choice(stage.agents), rng.uniform(*DOWN_FOR_S)
    victims: list[Program | Postgres] = [agent, agent, stage.broker, stage.cloud]
    victims += [stage.postgres] if stage.postgres else []
    link, name = rng.choice([(stage.device_link, "devices"), (stage.cloud_link, "cloud")])
    blow = rng.choices(["kill", "cut", "slow", "fill", "protect", "clock"], [56, 12, 10, 8, 8, 8])[0]
    victim = rng.choice(victims)
    if blow == "kill":
        lived = victim.kill()
        stage.later(down_s, victim.start)
        name = victim.name if isinstance(victim, Program) else "database"
        return f"killed {name} for {down_s:.1f} s" if lived else f"{name} is dead already", int(lived)
    if blow == "fill":
        return _fill(stage, agent, down_s), 0
    if blow == "protect":
        return _protect(stage, agent, down_s)
    if blow == "clock":
        agent.signal(signal.SIGUSR1)
        return f"clock of {agent.name} stepped by a year", 0
    if blow == "cut":
        link.cut()
    else:
        link.slow(rng.uniform(0.05, 0.8))
    stage.later(down_s, link.heal)
    return f"network of the {name} {blow} for {down_s:.1f} s", 0


def _fill(stage: Stage, agent: Program, seconds: float) -> str:
    """Fill the disk of a device, if it has one of its own."""
    state = stage.folder / agent.name
    if not state.is_mount():
        return "no disk to be filled: mounting is not allowed here"
    ballast = state / "ballast"
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(bytes(65_536)) == 65_536:
            pass
    stage.later(seconds, lambda: ballast.unlink(missing_ok=True))
    return f"disk of {agent.name} full for {seconds:.1f} s"


def _protect(stage: Stage, agent: Program, seconds: float) -> tuple[str, int]:
    """Kill a device, and let it start on a disk that is read-only for some time."""
    state = stage.folder / agent.name
    if not state.is_mount():
        return "no disk to be made read-only: mounting is not allowed here", 0
    lived = agent.kill()
    if not _remounted(state, "ro"):
        return f"disk of {agent.name} can't be made read-only", int(lived)
    agent.start()
    stage.later(seconds + 2.0, lambda: _remounted(state, "rw"))  # it takes some time to start
    return f"killed {agent.name}, its disk is read-only for {seconds + 2.0:.1f} s", int(lived)


def _remounted(state: Path, how: str) -> bool:
    mount = ["mount", "-o", f"remount,{how}", str(state)]
    return subprocess.run(mount, capture_output=True, check=False).returncode == 0


def _settle(stage: Stage) -> Balance:
    """Mend everything, let the devices send what they hold, and hold the books against the database."""
    stage.mend(everything=True)
    for program in (stage.broker, stage.cloud, *stage.agents):
        program.start()
    _say(f"everything is mended; {SETTLE_S:.0f} s of peace")
    time.sleep(SETTLE_S)
    for agent in stage.agents:
        agent.stop()
    _say("the devices are stopped; sending what waits")
    port = stage.device_link.port
    drains = [subprocess.Popen(_device("drain", stage.folder, agent.name, port)) for agent in stage.agents]
    if sum(drain.wait() for drain in drains):
        _say("not everything was acknowledged")
    stage.cloud.stop()
    books = balance({one.name: stage.folder / f"{one.name}.ledger" for one in stage.agents}, stage.database_url)
    for number in books.missing[:20]:
        _say(f"missing: {number}")
    return books


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
