"""Detection: the input is samples, the output is findings with their reasons. Pure: no I/O, no clock.

`Pipeline.step` names the stages in the order a sample passes them.
"""

from edge_agent.detection.pipeline import Outcome, Pipeline

__all__ = ["Outcome", "Pipeline"]
