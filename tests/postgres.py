"""A throw-away PostgreSQL: a cluster in a temporary folder on a port of loopback, for as long as it is needed.

PostgreSQL refuses to run as root; then it runs as the user that Debian's package has made for it.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWNER = "postgres"  # of Debian's package


def programs() -> Path | None:
    """The folder of initdb and postgres, the newest version; None if they are not installed."""
    if beside := shutil.which("initdb"):
        return Path(beside).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[str]:
    """Run a cluster and yield the URL of an empty database. Tests need not survive a power cut, unless `durable`."""
    bin_folder = programs()
    if bin_folder is None:
        raise FileNotFoundError("postgresql is not installed")
    prefix = ["runuser", "-u", OWNER, "--"] if os.geteuid() == 0 else []
    user = OWNER if prefix else getpass.getuser()
    with tempfile.TemporaryDirectory(prefix="forewarn-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if prefix:
            shutil.chown(folder, OWNER)
        data = str(folder / "data")
        made = [*prefix, str(bin_folder / "initdb"), "-D", data, "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = [f"-cport={port}", "-clisten_addresses=127.0.0.1", f"-cunix_socket_directories={folder}"]
        options += [] if durable else ["-cfsync=off", "-cfull_page_writes=off"]
        control = [*prefix, str(bin_folder / "pg_ctl"), "-D", data, "-s", "-w"]
        log = ["-l", str(folder / "log"), "-o", " ".join(options)]
        subprocess.run([*control, "start", *log], check=True, cwd=folder)
        try:
            yield f"postgresql+asyncpg://{user}@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "stop", "-m", "immediate"], check=True, cwd=folder)
