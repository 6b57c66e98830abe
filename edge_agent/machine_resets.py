"""Requests to reset a machine: `edge-agent machine reset NAME` leaves a file that the running agent takes.

What flows in: the state folder. What flows out: the names of the machines to reset. A request that is made while the
agent is stopped is taken after its start.
"""

from pathlib import Path

CHECK_EVERY_S = 5.0
_FOLDER = "machine-resets"


def request_reset(state_dir: Path, name: str) -> None:
    """Leave a request. Raises OSError."""
    folder = state_dir / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()


class MachineResets:
    """The requests of one state folder; a look at it every few seconds."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / _FOLDER
        self._due_s = 0.0

    def take(self, now_s: float) -> list[str]:
        """Return the machines that are to be reset, and remove their requests; a folder that can't be read is empty."""
        if now_s < self._due_s:
            return []
        self._due_s = now_s + CHECK_EVERY_S
        try:
            requests = sorted(self._folder.iterdir())
            for request in requests:
                request.unlink()
        except OSError:
            return []
        return [request.name for request in requests]
