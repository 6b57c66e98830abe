"""A small file system for a device, which can be full and read-only, also both at a time."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

SIZE = "24m"
BLOCK = bytes(65_536)


class DeviceDisk:
    """The file system at `folder`. A ballast file fills it, and stays on it while it is read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read_only = False
        self._ballast = folder / "ballast"

    @property
    def available(self) -> bool:
        """Whether the folder is a file system of its own; without one, no fault can be injected."""
        return self.folder.is_mount()

    def fill(self) -> bool:
        """Write until it is full. False if it is read-only."""
        if self.read_only:
            return False
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while file.write(BLOCK) == len(BLOCK):
                pass
        return True

    def empty(self) -> bool:
        """Delete the ballast. False while it is read-only."""
        if self.read_only:
            return False
        self._ballast.unlink(missing_ok=True)
        return True

    def set_read_only(self) -> bool:
        """Remount it read-only. False if the kernel refuses, because a file is open for writing."""
        self.read_only = self.read_only or self._remount("ro")
        return self.read_only

    def set_writable(self) -> bool:
        """Remount it writable. False if the kernel refuses."""
        self.read_only = self.read_only and not self._remount("rw")
        return not self.read_only

    def _remount(self, mode: str) -> bool:
        command = ["mount", "-o", f"remount,{mode}", str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def mounted_disk(folder: Path) -> Iterator[DeviceDisk]:
    """Make `folder`, and mount a tmpfs on it if that is allowed; unmount it at the end."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield DeviceDisk(folder)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
