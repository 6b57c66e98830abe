"""Real work for a machine that is recorded: builds, downloads, a browser, disk, memory and network traffic.

What flows in: a seed, a folder for scratch files and a number of seconds. What flows out: load, and nothing else.
Each workload runs in a process of its own, `python -m models.workloads NAME FOLDER SEED SECONDS`, at nice 10, in
units of work with pauses between them: the seed decides how hard it works. None holds more than 2 GiB of memory or
of disk, and what it writes lies in FOLDER.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MIB = 1 << 20
PACKAGES = ("pydantic", "psutil", "numpy", "aiomqtt", "jinja2", "sqlalchemy")  # this project's own requirements
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_PAGE = "<canvas id=c width=1200 height=900></canvas><script>for (let i=0;i<{n};i++) {{let p=document.createElement(\
'p');p.textContent=Math.sin(i).toString(36).repeat(6);document.body.append(p);c.getContext('2d').fillRect(i%1200,i%\
900,9,9)}}</script>"


def run(name: str, folder: Path, rng: random.Random, seconds: float) -> None:
    """Work for so many seconds, with a share of pauses that the seed decides."""
    busy_share = rng.choice((0.1, 0.25, 0.5, 0.75, 1.0))
    end_s = time.monotonic() + seconds
    began_s = time.monotonic()
    for _ in WORKLOADS[name](folder, rng):
        now_s = time.monotonic()
        pause_s = (now_s - began_s) * (1 / busy_share - 1)
        time.sleep(max(0.0, min(pause_s, end_s - now_s)))
        began_s = time.monotonic()
        if began_s >= end_s:
            return


def compile_tree(folder: Path, rng: random.Random) -> Iterator[None]:
    """Compile generated C files, one or two at a time."""
    jobs = rng.choice((1, 2))
    sources = [folder / f"unit{number}.c" for number in range(24)]
    for source in sources:
        source.write_text("".join(_function(rng, number) for number in range(rng.randrange(20, 120))))
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            for start in range(0, len(sources), jobs):
                list(pool.map(_compile, sources[start : start + jobs]))
                yield


def download(folder: Path, rng: random.Random) -> Iterator[None]:
    """Fetch one of our own requirements from the package index, and rest: an index is no load generator."""
    while True:
        target = folder / "wheels"
        package = rng.choice(PACKAGES)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "-q", "-d", str(target)]
        subprocess.run([*command, package], check=False, capture_output=True)  # noqa: S603  a fixed command
        shutil.rmtree(target, ignore_errors=True)
        yield
        time.sleep(30)


def browse(folder: Path, rng: random.Random) -> Iterator[None]:
    """Render a local page in a headless browser, a picture at a time."""
    page = folder / "page.html"
    while True:
        page.write_text(_PAGE.format(n=rng.randrange(200, 8000)))
        command = [BROWSER, *_FLAGS, f"--user-data-dir={folder}/profile", f"--screenshot={folder}/page.png"]
        subprocess.run([*command, page.as_uri()], check=False, capture_output=True)  # noqa: S603  a fixed command
        yield


def write_disk(folder: Path, rng: random.Random) -> Iterator[None]:
    """Write a file in blocks and make sure that the disk has it, over and over."""
    block = os.urandom(rng.choice((64 * 1024, MIB, 8 * MIB)))
    blocks = rng.choice((16, 64, 256)) * MIB // len(block)
    every = rng.choice((1, 8, blocks))
    while True:
        with (folder / "written").open("wb") as file:
            for number in range(blocks):
                file.write(block)
                if number % every == every - 1:
                    _to_disk(file.fileno())
        yield


def small_writes(folder: Path, rng: random.Random) -> Iterator[None]:
    """Append a few kB and sync each time, as a database or a careful log does."""
    record = os.urandom(rng.choice((512, 4096, 16384)))
    with (folder / "journal").open("ab", buffering=0) as file:
        while True:
            for _ in range(20):
                file.write(record)
                os.fdatasync(file.fileno())
            if file.tell() > 256 * MIB:
                file.truncate(0)
            yield


def read_disk(folder: Path, rng: random.Random) -> Iterator[None]:
    """Read a file from the disk, not from the cache; in a row or here and there."""
    file = folder / "read"
    with file.open("wb") as out:
        for _ in range(rng.choice((128, 512))):
            out.write(os.urandom(MIB))
        _to_disk(out.fileno())
    block, size = rng.choice((4096, 65536, MIB)), file.stat().st_size
    at_random = rng.random() < 0.5
    with file.open("rb", buffering=0) as source:
        while True:
            os.posix_fadvise(source.fileno(), 0, size, os.POSIX_FADV_DONTNEED)
            for _ in range(min(size, 32 * MIB) // block):
                if at_random:
                    source.seek(rng.randrange(size // block) * block)
                elif source.tell() >= size:
                    source.seek(0)
                source.read(block)
            yield


def hold_memory(_folder: Path, rng: random.Random) -> Iterator[None]:
    """Take memory, touch it, keep it for a while, give it back."""
    while True:
        held = []
        for _ in range(rng.randrange(4, 32)):
            held.append(bytearray(os.urandom(4096)) * (64 * MIB // 4096))
            yield
        for _ in range(20):
            time.sleep(1)
            yield


def compress(_folder: Path, rng: random.Random) -> Iterator[None]:
    """Compress, which is work for the processor alone; threads run beside each other in zlib."""
    text = bytes(rng.choices(b"abcdefgh ", k=2 * MIB))
    threads = rng.choice((1, 2))
    with ThreadPoolExecutor(threads) as pool:
        while True:
            list(pool.map(zlib.compress, [text] * threads))
            yield


def many_processes(_folder: Path, _rng: random.Random) -> Iterator[None]:
    """Start short programs, as a shell script does."""
    while True:
        subprocess.run(["/bin/true"], check=False)
        yield


def loopback(_folder: Path, rng: random.Random) -> Iterator[None]:
    """Send data from one thread to another through the network stack."""
    block = os.urandom(rng.choice((512, 16384, 262144)))
    server = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(server.getsockname())
    receiver, _ = server.accept()
    threading.Thread(target=_drain, args=(receiver,), daemon=True).start()
    while True:
        for _ in range(64):
            sender.sendall(block)
        yield


WORKLOADS: dict[str, Callable[[Path, random.Random], Iterator[None]]] = {
    "compile": compile_tree,
    "download": download,
    "browse": browse,
    "write": write_disk,
    "sync": small_writes,
    "read": read_disk,
    "memory": hold_memory,
    "compress": compress,
    "processes": many_processes,
    "loopback": loopback,
}


def _function(rng: random.Random, number: int) -> str:
    terms = "".join(f"x = x * {rng.randrange(3, 999)}u ^ (x >> {rng.randrange(1, 31)}); " for _ in range(30))
    return f"unsigned f{number}(unsigned x) {{ for (int i = 0; i < 99; i++) {{ {terms} }} return x; }}\n"


def _compile(source: Path) -> None:
    command = ["/usr/bin/gcc", "-O2", "-c", str(source), "-o", str(source.with_suffix(".o"))]
    subprocess.run(command, check=False)  # noqa: S603  a fixed command


def _to_disk(file: int) -> None:
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _drain(receiver: socket.socket) -> None:
    while receiver.recv(MIB):
        pass


if __name__ == "__main__":
    os.nice(10)
    run(sys.argv[1], Path(sys.argv[2]), random.Random(int(sys.argv[3])), float(sys.argv[4]))
