"""Quantised networks: rounds trained dense networks to int8 TFLite, and writes artifacts that devices load.

What flows in: one or more DenseNetworks (their outputs are averaged in the graph), scaled examples that set the ranges
of int8, names and figures. What flows out: an artifact folder with model.tflite, manifest.json and card.md.

Only `to_int8` needs TensorFlow (`pip install 'forewarn[train]'`).
"""

import contextlib
import hashlib
import importlib.util
import json
import multiprocessing
import os
import platform
import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.artifacts.tflite_network import CLIP, MANIFEST_FILE, MODEL_FILE
from edge_agent.detection.network import Array
from models.dense_network import RELU_MOST, DenseNetwork, Examples, Loss, Training, average, logistic, train_dense
from models.model_card import CARD_FILE

__all__ = [
    "DenseNetwork", "Ends", "Examples", "Loss", "Scaling", "Training", "TrainingError", "average", "logistic",
    "scaling_of", "to_int8", "train_dense", "write_artifact",
]  # fmt: skip

REPRESENTATIVE = 4000  # examples that set the ranges of int8
LEAST_SCALE = 1e-6


class TrainingError(RuntimeError):
    """This machine can't make a network; the message is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and scale of each feature, as in the manifest."""

    mean: Array
    scale: Array

    def scaled(self, values: Array) -> Array:
        """Return the input of the network: (n, features), clipped."""
        clipped: Array = np.clip((values - self.mean) / self.scale, -CLIP, CLIP)
        return clipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What goes in and what comes out of a network: names, and the scaling of the features."""

    features: tuple[str, ...]
    outputs: tuple[str, ...]
    scaling: Scaling


def scaling_of(values: Array) -> Scaling:
    """Return mean and standard deviation of each feature; a constant one gets scale 1."""
    spread = values.std(axis=0)
    return Scaling(values.mean(axis=0), np.where(spread < LEAST_SCALE, 1.0, spread))


def libraries() -> dict[str, str]:
    """Return the versions that decide the bytes. Raises TrainingError if TensorFlow is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        raise TrainingError("tensorflow is not installed; on Python 3.11: pip install 'forewarn[train]'")
    versions = {name: version(name) for name in ("tensorflow", "keras", "numpy")}
    return versions | {"python": platform.python_version(), "machine": platform.machine()}


def to_int8(networks: Sequence[DenseNetwork], representative: Array) -> bytes:
    """Return model.tflite: int8 weights, activations, input and output; the mean of the networks' outputs.

    `representative` are scaled inputs. Runs in a process of its own: TensorFlow and tflite-runtime can't share one.
    """
    libraries()
    picked = representative[:: max(1, len(representative) // REPRESENTATIVE)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_convert, [network.layers for network in networks], picked).result()


def write_artifact(folder: Path, content: bytes, ends: Ends, *, training: Mapping[str, object], card: str) -> None:
    """Write model.tflite, manifest.json and card.md into `folder`, whose name is `<name>-<version>`.

    `training` is free: seeds, data, figures. Nothing that depends on time or place belongs into it.
    """
    name, _, number = folder.name.rpartition("-")
    manifest = {
        "name": name,
        "version": number,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "features": list(ends.features),
        "outputs": list(ends.outputs),
        "input_shape": [-1, len(ends.features)],
        "output_shape": [-1, len(ends.outputs)],
        "scaling": {"mean": _rounded(ends.scaling.mean), "scale": _rounded(ends.scaling.scale)},
        "training": dict(training),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(content)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")
    (folder / CARD_FILE).write_text(card)


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def _convert(networks: Sequence[Sequence[tuple[Array, Array]]], representative: Array) -> bytes:
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converter warns about its own defaults
        tensorflow = _tensorflow()
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(_graph(tensorflow, networks))
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[np.newaxis].astype(np.float32)] for row in representative)
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tensorflow.int8
        # one scale for each layer: tflite-runtime 2.14, the last for Python 3.11, knows no other for dense layers
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        return bytes(converter.convert())


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # it would choose the order of additions by the processor
    return importlib.import_module("tensorflow")


def _graph(tensorflow: Any, networks: Sequence[Sequence[tuple[Array, Array]]]) -> Any:
    """Return a Keras model with the given weights: a branch for each network, averaged."""
    keras = tensorflow.keras
    start = keras.Input((len(networks[0][0][0]),), name="features")
    branches = [_branch(keras, start, layers, number) for number, layers in enumerate(networks)]
    end = branches[0] if len(branches) == 1 else keras.layers.Average(name="mean")(branches)
    model = keras.Model(start, end)
    for number, layers in enumerate(networks):
        for place, (kernel, bias) in enumerate(layers):
            model.get_layer(f"dense{number}_{place}").set_weights([kernel, bias])
    return model


def _branch(keras: Any, flow: Any, layers: Sequence[tuple[Array, Array]], number: int) -> Any:
    for place, (_, bias) in enumerate(layers):
        flow = keras.layers.Dense(len(bias), name=f"dense{number}_{place}")(flow)
        if place < len(layers) - 1:
            flow = keras.layers.ReLU(RELU_MOST, name=f"relu{number}_{place}")(flow)
    return flow
