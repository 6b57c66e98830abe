"""Small files of /sys and /proc, any of which may be missing, refused or failing: that is None, and no error."""

from pathlib import Path


def read_text(path: Path) -> str | None:
    """Return the content without its end (a newline, or a NUL in the device tree)."""
    try:
        return path.read_text(errors="replace").rstrip("\0\n")
    except OSError:
        return None


def read_number(path: Path) -> float | None:
    """Return the integer in a file, decimal or with 0x."""
    try:
        return float(int(read_text(path) or "", 0))
    except ValueError:
        return None
