"""Outage log: one line when something fails and one when it works again, however often it is tried in between."""

import logging

log = logging.getLogger(__name__)


class OutageLog:
    """Log lines about the broker or the database."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_down = False

    def down(self, reason: object) -> None:
        """Log a failure as a warning the first time, for debugging after that."""
        log.log(logging.DEBUG if self._is_down else logging.WARNING, "%s: %s; trying again", self._name, reason)
        self._is_down = True

    def up(self) -> None:
        """Log that it works again."""
        if self._is_down:
            log.warning("%s is back", self._name)
        self._is_down = False
