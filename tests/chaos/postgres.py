"""A PostgreSQL server on loopback, from Debian's package, with its data in a given folder; it may be killed."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

from firmware_stubs.processes import free_port

USER = "postgres"
START_S = 60.0


class Postgres:
    """A database cluster, which can be started again after `kill`."""

    def __init__(self, folder: Path, *settings: str) -> None:
        """Make the cluster, with settings such as ``fsync=off``. Raises FileNotFoundError if there is no PostgreSQL."""
        self._programs = _programs()
        self._settings = [word for setting in settings for word in ("-c", setting)]
        self._folder, self._log = folder / "cluster", folder / "postgres.log"
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self._owner = pwd.getpwnam(USER) if os.geteuid() == 0 else None
        if self._owner:  # PostgreSQL refuses to run as root
            os.chown(folder, self._owner.pw_uid, self._owner.pw_gid)
        initdb = [
            "initdb",
            "--pgdata",
            str(self._folder),
            "--username",
            USER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--no-sync",
        ]
        self._popen(initdb).wait()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for the cloud's configuration."""
        return f"postgresql+asyncpg://{USER}@127.0.0.1:{self.port}/{USER}"

    def start(self) -> None:
        """Start it, unless it runs. After a kill its children may still run for a moment, so it tries again.

        Raises TimeoutError.
        """
        if self._process and self._process.poll() is None:
            return
        deadline = time.monotonic() + START_S
        options = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        while time.monotonic() < deadline:
            self._process = self._popen(["postgres", "-D", str(self._folder), *options, *self._settings])
            while self._process.poll() is None and time.monotonic() < deadline:
                if self._is_ready(self._process.pid):
                    return
                time.sleep(0.1)
            time.sleep(0.3)
        raise TimeoutError(f"PostgreSQL did not start within {START_S:.0f} s; see {self._log}")

    def kill(self) -> bool:
        """End it with SIGKILL; return whether it was running."""
        return self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it, without waiting for its clients to disconnect."""
        self._end(signal.SIGINT)

    def _is_ready(self, pid: int) -> bool:
        """Whether it takes connections: it listens earlier, and refuses them while it starts up."""
        try:
            lines = (self._folder / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return bool(lines) and lines[0] == str(pid) and lines[-1].strip() == "ready"

    def _end(self, number: signal.Signals) -> bool:
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.send_signal(number)
        self._process.wait()
        return True

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        user = {"user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []} if self._owner else {}
        program = str(self._programs / command[0])
        with self._log.open("ab") as log:
            streams = {"stdout": log, "stderr": log, "start_new_session": True}  # Ctrl-C is not for it
            return subprocess.Popen([program, *command[1:]], cwd="/", **streams, **user)  # type: ignore[call-overload,no-any-return]


def _programs() -> Path:
    """Return the folder of the newest PostgreSQL of this machine."""
    if found := shutil.which("postgres"):
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise FileNotFoundError("there is no PostgreSQL here; apt-get install postgresql")
    return versions[-1].parent
