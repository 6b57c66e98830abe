"""What the agent costs a device, beside its peers: the same machine, interval and broker, at the same time.

What flows in: for how long to watch, in seconds. What flows out: for each program its share of one core, its memory
and what it wrote and sent. Peers run if they are installed (Debian's collectd-core, netdata).

Memory is the proportional set size of a program and its children; CPU is their user and system time; written is what
they caused to be sent to storage (write_bytes of /proc/<pid>/io); sent is what passed a proxy on its way to the broker.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from firmware_stubs.processes import free_port, running_agent, running_cloud, running_mosquitto
from tests.chaos.proxy import Proxy

WARM_UP_S = 60.0
_COLLECTD = """
Hostname "bench"
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
Interval 1
LoadPlugin cpu
LoadPlugin load
LoadPlugin memory
LoadPlugin swap
LoadPlugin vmem
LoadPlugin df
LoadPlugin disk
LoadPlugin interface
LoadPlugin processes
LoadPlugin uptime
LoadPlugin mqtt
<Plugin mqtt>
  <Publish "bench">
    Host "127.0.0.1"
    Port {port}
    ClientId "collectd"
    QoS 1
    Prefix "collectd"
  </Publish>
</Plugin>
"""
_NETDATA = """
[global]
    run as user = root
[directories]
    cache = {folder}/cache
    lib = {folder}/lib
    log = {folder}/log
    home = {folder}
[db]
    mode = dbengine
    update every = 1
[ml]
    enabled = {ml}
[plugins]
    apps = no
    charts.d = no
    go.d = no
    python.d = no
    cgroups = no
    tc = no
    node.d = no
    fping = no
    perf = no
    ioping = no
    slabinfo = no
    ebpf = no
    statsd = no
[web]
    mode = none
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Something to be watched: its process, and the proxy through which it sends, if it sends."""

    name: str
    process: subprocess.Popen[bytes]
    proxy: Proxy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a program cost while it was watched."""

    cpu_percent: float
    pss_mib: float
    written_bytes: int
    sent_bytes: int | None


def beside_peers(folder: Path, seconds: float) -> dict[str, Cost]:
    """Run the agent and the peers that are installed, side by side, and watch them."""
    with ExitStack() as stack:
        broker_port, web_port = free_port(), free_port()
        stack.enter_context(running_mosquitto(folder, broker_port))
        options = ("--broker", f"mqtt://127.0.0.1:{broker_port}")
        stack.enter_context(running_cloud(folder, web_port, broker_port, *options))
        programs = [program for start in (_agent, _collectd, _netdata) for program in start(stack, folder, broker_port)]
        print(f"watching {', '.join(one.name for one in programs)}", file=sys.stderr)
        time.sleep(WARM_UP_S)
        return watch(programs, seconds)


def watch(programs: Sequence[Program], seconds: float) -> dict[str, Cost]:
    """Return what each program costs in the next seconds."""
    before = {one.name: _spent(one) for one in programs}
    for passed in range(0, round(seconds), 10):
        print(f"  {passed} of {seconds:.0f} s", file=sys.stderr, end="\r")
        time.sleep(min(10.0, seconds - passed))
    return {one.name: _cost(one, before[one.name], seconds) for one in programs}


def _cost(program: Program, before: tuple[float, int, int], seconds: float) -> Cost:
    if program.process.poll() is not None:
        raise RuntimeError(f"{program.name} ended by itself with exit code {program.process.returncode}")
    cpu_s, written, sent = (now - then for now, then in zip(_spent(program), before, strict=True))
    return Cost(
        cpu_percent=100 * cpu_s / seconds,
        pss_mib=sum(one.memory_full_info().pss for one in _tree(program)) / 2**20,
        written_bytes=int(written),
        sent_bytes=int(sent) if program.proxy else None,
    )


def _spent(program: Program) -> tuple[float, int, int]:
    """CPU seconds, bytes written and bytes sent so far."""
    tree = _tree(program)
    times = [one.cpu_times() for one in tree]
    return (
        sum(one.user + one.system for one in times),
        sum(one.io_counters().write_bytes for one in tree),
        program.proxy.sent_bytes if program.proxy else 0,
    )


def _tree(program: Program) -> list[psutil.Process]:
    process = psutil.Process(program.process.pid)
    return [process, *process.children(recursive=True)]


def _agent(stack: ExitStack, folder: Path, broker_port: int) -> Iterator[Program]:
    proxy = _proxy(stack, broker_port)
    yield Program(
        name="edge-agent",
        process=stack.enter_context(running_agent(folder, "bench", proxy.port)),
        proxy=proxy,
    )


def _collectd(stack: ExitStack, folder: Path, broker_port: int) -> Iterator[Program]:
    program = _installed("collectd")
    if not program:
        return
    proxy, home = _proxy(stack, broker_port), folder / "collectd"
    home.mkdir()
    config = home / "collectd.conf"
    config.write_text(_COLLECTD.format(folder=home, port=proxy.port))
    yield Program(
        name="collectd",
        process=stack.enter_context(_running([program, "-f", "-C", str(config)], home)),
        proxy=proxy,
    )


def _netdata(stack: ExitStack, folder: Path, broker_port: int) -> Iterator[Program]:
    program = _installed("netdata")
    if not program:
        return
    home = folder / "netdata"
    for part in ("cache", "lib", "log"):
        (home / part).mkdir(parents=True)
    config = home / "netdata.conf"
    config.write_text(_NETDATA.format(folder=home, ml="yes"))
    yield Program(
        name="netdata with ML", process=stack.enter_context(_running([program, "-D", "-c", str(config)], home))
    )


def _installed(name: str) -> str | None:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        print(f"{name} is not installed, and is left out", file=sys.stderr)
    return found


def _proxy(stack: ExitStack, broker_port: int) -> Proxy:
    proxy = Proxy(broker_port)
    proxy.start()
    stack.callback(proxy.stop)
    return proxy


@contextmanager
def _running(command: list[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (home / "output.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
