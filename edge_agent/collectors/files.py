"""Small files of /sys and /proc; a file that is missing or unreadable is None, not an error."""

from pathlib import Path


def read_text(path: Path) -> str | None:
    """Return the content without a trailing newline (or NUL, in the device tree)."""
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
