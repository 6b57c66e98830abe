"""How well scores rank rows, whatever the threshold: pure functions, no point adjustment anywhere.

What flows in: labels and scores of rows. What flows out: areas. NaN where there is no event, so no area.
"""

import numpy as np
import numpy.typing as npt

from edge_agent.detection.anomaly.baseline import Array
from models.case_metrics import Labels, runs

LEVELS = 250  # thresholds that VUS looks at
_Places = npt.NDArray[np.intp]


def auc_pr(label: Labels, score: Array) -> float:
    """Area under precision over recall, point-wise (average precision; tied scores make one step)."""
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], label[order].astype(np.float64)
    last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    found = np.cumsum(hits)[last_of_tie]
    if not found[-1]:
        return float("nan")
    return float((np.diff(found, prepend=0.0) * found / (last_of_tie + 1)).sum() / found[-1])


def auc_roc(label: Labels, score: Array) -> float:
    """How often a labelled row outranks one that is not (a tie is half): 0.5 is guessing, whatever the shares."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    hits, others = int(label.sum()), int((~label).sum())
    if not hits or not others:
        return float("nan")
    return float((rank[label].sum() - hits * (hits + 1) / 2) / (hits * others))


def vus_pr(label: Labels, score: Array, buffer_rows: int) -> float:
    """Volume under the precision-recall surface: range-AUC-PR, mean over buffers of 0 to `buffer_rows` rows.

    Source: Paparrizos et al., Volume Under the Surface, VLDB 2022, in the variant that TSB-AD reports.
    """
    if not label.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    thresholds = score[order][np.linspace(0, len(score) - 1, LEVELS).astype(int)]
    selected = len(score) - np.searchsorted(score[order][::-1], thresholds, side="left")
    areas = [_range_auc_pr(label, score, buffer, (order, thresholds, selected)) for buffer in range(buffer_rows + 1)]
    return float(np.mean(areas))


def _range_auc_pr(label: Labels, score: Array, buffer: int, ranked: tuple[_Places, Array, _Places]) -> float:
    """Area with events softened by `buffer`; at each threshold the first `selected` rows of `order` are at or above."""
    order, thresholds, selected = ranked
    weight = _softened(label, buffer)
    hits = np.cumsum(weight[order])[selected - 1]
    outside = np.cumsum(np.where(label, 0.0, weight)[order])[selected - 1]
    peaks = np.array([score[start:end].max() for start, end in _merged(label, buffer)])
    touched = (peaks[:, np.newaxis] >= thresholds).mean(axis=0)
    positives = (2 * label.sum() + outside) / 2
    recall = np.minimum(hits / positives, 1.0) * touched
    return float((np.diff(recall, prepend=0.0) * hits / selected).sum())


def _softened(label: Labels, buffer: int) -> Array:
    """1 inside events, falling off within half a buffer on both sides; where two meet they add up to at most 1."""
    weight = label.astype(np.float64)
    slope = np.sqrt(1 - np.arange(1, buffer // 2 + 1) / max(1, buffer))
    for start, end in zip(*runs(label), strict=True):
        after, before = weight[end : end + len(slope)], weight[max(0, start - len(slope)) : start]
        after += slope[: len(after)]
        before += slope[: len(before)][::-1]
    return np.minimum(weight, 1.0)


def _merged(label: Labels, buffer: int) -> list[tuple[int, int]]:
    """First row, and row after the last, of each stretch of events whose buffers overlap; touching ones stay apart."""
    stretches: list[tuple[int, int]] = []
    for start, end in zip(*(edge.tolist() for edge in runs(label)), strict=True):
        first, after = max(0, start - buffer // 2), min(len(label), end + buffer // 2)
        if stretches and first < stretches[-1][1]:
            first, _ = stretches.pop()
        stretches.append((first, after))
    return stretches
