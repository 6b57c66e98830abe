"""Requests to reset a machine: `edge-agent machine reset NAME` leaves a file that the running agent takes.

What flows in: the state folder. What flows out: the names of the machines to reset. A request that is made while the
agent is stopped is taken after its start.
"""

import logging
from pathlib import Path

CHECK_EVERY_S = 5.0
_FOLDER = "machine-resets"

log = logging.getLogger(__name__)


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
        self._refused_logged = False

    def take(self, now_s: float) -> list[str]:
        """Return the machines that are to be reset, and remove their requests.

        What can't be read or removed is logged once: a request that was made as root is out of the agent's reach.
        """
        if now_s < self._due_s:
            return []
        self._due_s = now_s + CHECK_EVERY_S
        taken: list[str] = []
        try:
            for request in sorted(self._folder.iterdir()):
                request.unlink()
                taken.append(request.name)
        except FileNotFoundError:
            pass  # nothing was ever requested
        except OSError as error:
            if not self._refused_logged:
                log.warning(
                    "%s: %s; remove it, and request the reset as the agent's user", self._folder, error.strerror
                )
            self._refused_logged = True
        return taken
