"""When a score is worth telling somebody: the one place where a score becomes a decision.

What flows in: the Scores of one device, row by row. What flows out: for each row, whether the model speaks up.
The device, the replay of recordings (`python -m models score`) and the evaluation all decide here.
"""

from edge_agent.detection.scoring import Score

UNUSUAL = 0.855  # with at most one false case a device-week on the development machines; docs/detection.md


class Alarms:
    """Decides, row by row; `step_s` are the seconds between two rows."""

    def __init__(self, step_s: float, unusual_from: float = UNUSUAL) -> None:
        self.step_s = step_s
        self._unusual_from = unusual_from

    def step(self, score: Score) -> bool:
        """Say whether this row is worth a word."""
        return score.ready and score.value >= self._unusual_from
