"""What the records of one message may inflate to, so that a small hostile message cannot use up the memory."""

from dataclasses import dataclass

from edge_agent.protocol.telemetry.batch import MAX_COLUMNS, MAX_RECORD_BYTES

MAX_MESSAGE_COLUMNS = 32 * MAX_COLUMNS  # in all records of one message; an agent puts 32 of them into one
MAX_MESSAGE_INFLATED = 32 * MAX_RECORD_BYTES


class TooMuchError(ValueError):
    """The records of a message unfold to more than one message may hold."""


@dataclass(slots=True)
class Allowance:
    """What the records of one message may still unfold to, good ones and bad ones."""

    columns: int = MAX_MESSAGE_COLUMNS
    inflated: int = MAX_MESSAGE_INFLATED

    def spend(self, *, columns: int = 0, inflated: int = 0) -> None:
        """Take so much off. Raises TooMuchError."""
        self.columns -= columns
        self.inflated -= inflated
        if self.columns < 0 or self.inflated < 0:
            limits = f"{MAX_MESSAGE_COLUMNS} columns or {MAX_MESSAGE_INFLATED} bytes"
            raise TooMuchError(f"the records of one message unfold to more than {limits}")
