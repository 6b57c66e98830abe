"""Networks: the port behind which an interpreter runs a small trained network. Pure.

What flows in: features with the names that the network was trained on. What flows out: its outputs. The adapter is
edge_agent/artifacts/tflite_network.py.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Network(Protocol):
    """A trained network."""

    @property
    def name(self) -> str:
        """Name and version: `persistence-2`."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""

    def run(self, values: Array) -> Array:
        """Return the outputs of each row: (n, features) to (n, outputs).

        Never raises for finite input. If the network turns out to be unusable, every output is NaN.
        """


__all__ = ["Array", "Network"]
