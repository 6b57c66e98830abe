"""A real file system of a few MiB that a test can fill and write-protect; needs root."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted tmpfs."""

    path: Path

    def fill(self) -> None:
        """Let somebody else take all that is left."""
        with contextlib.suppress(OSError), (self.path / "ballast").open("ab", buffering=0) as file:
            while file.write(bytes(4096)) == 4096:
                pass

    def free(self) -> None:
        """Give it back."""
        (self.path / "ballast").unlink()

    def remount(self, option: str) -> None:
        """Make it `ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], check=True)


@contextlib.contextmanager
def small_disk(path: Path, size: str = "8m") -> Iterator[SmallDisk]:
    """Mount one for as long as the block runs; where that is not allowed the test is skipped."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=False)
