"""The same network in plain float32 numpy: what int8 is measured against, and a Net where there is no interpreter."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = Sequence[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
"""Kernel (inputs, outputs) and bias (outputs,) of each layer, first to last."""

WEIGHTS_FILE = "float32.npz"


class DenseNet:
    """Dense layers with ReLU6 between them and a logistic at the end."""

    def __init__(self, name: str, weights: Weights) -> None:
        self.name = name
        self.window = len(weights[0][0])
        self._weights = weights

    def judge(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """From (channels, window) to (channels,) 0..1."""
        flow = windows
        for kernel, bias in self._weights[:-1]:
            flow = np.clip(flow @ kernel + bias, np.float32(0), np.float32(6))
        kernel, bias = self._weights[-1]
        logits = (flow @ kernel + bias)[:, 0]
        answer: npt.NDArray[np.float32] = (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
        return answer


def save_weights(path: Path, weights: Weights) -> None:
    """Write the weights; the same weights give the same bytes (numpy dates the entries of a zip 1980)."""
    arrays: dict[str, Any] = {  # numpy 2's stubs take any other type for the flag allow_pickle
        f"{part}{index}": array for index, pair in enumerate(weights) for part, array in zip("wb", pair, strict=True)
    }
    np.savez(path, **arrays)


def load_dense(path: Path, name: str) -> DenseNet:
    """Read what `save_weights` wrote. Raises ValueError naming the file."""
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            weights = [(archive[f"w{index}"], archive[f"b{index}"]) for index in range(len(archive.files) // 2)]
    except (AttributeError, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not the weights of a dense network: {error}") from None
    return DenseNet(name, weights)
