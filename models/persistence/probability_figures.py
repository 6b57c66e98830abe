"""Figures of a probability that is compared with what came true, and the reliability table.

What flows in: probabilities and outcomes. What flows out: area under ROC, Brier score, precision at half of the recall,
and what came true of each tenth that was claimed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.detection.network import Array

SURE = 0.7
Outcomes = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures of one set of ramps; NaN where none of a kind is in the set."""

    ramps: int
    base_rate: float
    auc: float
    brier: float
    precision: float
    sure: int
    sure_true: float

    def cells(self) -> list[str]:
        """Return area under ROC, Brier score, precision, and the true share of what is claimed with SURE, as text."""
        sure = f"{self.sure_true:.3f} of {self.sure}" if self.sure else "none"
        return [f"{self.auc:.3f}", f"{self.brier:.4f}", f"{self.precision:.3f}", sure]


def figures(outcome: Outcomes, probability: Array) -> Figures:
    """Return the figures; ties of the ranking count half."""
    order = np.argsort(probability, kind="stable")
    _, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive, negative = int(outcome.sum()), int((~outcome).sum())
    auc = (
        (ranks[outcome].sum() - positive * (positive + 1) / 2) / (positive * negative)
        if positive * negative
        else np.nan
    )
    bar = np.sort(probability[outcome])[::-1][positive // 2] if positive else np.inf
    sure = probability >= SURE
    return Figures(
        ramps=len(order),
        base_rate=float(outcome.mean()),
        auc=float(auc),
        brier=float(((probability - outcome) ** 2).mean()),
        precision=float(outcome[probability >= bar].mean()) if positive else float("nan"),
        sure=int(sure.sum()),
        sure_true=float(outcome[sure].mean()) if sure.any() else float("nan"),
    )


def reliability(outcome: Outcomes, probability: Array) -> Iterator[tuple[float, int, float, float]]:
    """Yield for each tenth that occurs: its lower end, how many, the mean claimed, the share that came true."""
    tenth = np.minimum((probability * 10).astype(int), 9)
    for place in range(10):
        inside = tenth == place
        if inside.any():
            yield place / 10, int(inside.sum()), float(probability[inside].mean()), float(outcome[inside].mean())
