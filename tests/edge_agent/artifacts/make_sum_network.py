"""`python -m tests.edge_agent.artifacts.make_sum_network`: makes sum-1 again. Needs the extra `train`."""

from pathlib import Path

import numpy as np

from models.dense_network import DenseNetwork
from models.quantised_network import Ends, Scaling, to_int8, write_artifact

SUM = Path(__file__).parent / "sum-1"


def main() -> None:
    """Write the artifact: the sum and the difference of two features between -3 and 3."""
    signs = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    sums = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    network = DenseNetwork(((signs, np.zeros(4)), (sums, np.zeros(2))))
    values = np.random.default_rng(1).uniform(-3, 3, (500, 2))
    ends = Ends(features=("one", "other"), outputs=("sum", "difference"), scaling=Scaling(np.zeros(2), np.ones(2)))
    write_artifact(SUM, to_int8([network], values), ends, training={}, card="# sum-1\n\nFor tests.\n")


if __name__ == "__main__":
    main()
