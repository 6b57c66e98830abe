"""TensorFlow's part of training: fits the layers and rounds them to int8. Nothing else of the project imports it.

What flows in: examples and a seed. What flows out: a model.tflite and its weights before rounding.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import platform
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from models.dense import Weights
from models.examples import WINDOW, Examples

LAYERS = (32, 16)  # units of the hidden layers
BATCH = 512
LEARNING_RATE = 1e-3
REPRESENTATIVE = 2000  # windows that set the ranges of int8


class TrainingError(RuntimeError):
    """This machine or this run can't make a network; the message is one line."""


def check_tensorflow() -> dict[str, str]:
    """Return the versions that decide the bytes. Raises TrainingError if TensorFlow is not installed."""
    if importlib.util.find_spec("tensorflow") is None:
        raise TrainingError("tensorflow is not installed: pip install 'forewarn[train]'")
    package = "tensorflow-cpu" if platform.machine() == "x86_64" else "tensorflow"
    versions = {name: version(name) for name in (package, "keras", "numpy")}
    return versions | {"python": platform.python_version(), "machine": platform.machine()}


def fit(examples: Examples, seed: int, epochs: int) -> tuple[bytes, Weights]:
    """Return model.tflite and the weights before rounding; the same arguments should give the same bytes.

    This happens in a process of its own: TensorFlow and tflite-runtime don't bear each other in one.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_fit, examples, seed, epochs).result()


def _fit(examples: Examples, seed: int, epochs: int) -> tuple[bytes, Weights]:
    # what TensorFlow prints is progress, not a result
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter, about its own defaults
        tensorflow = _tensorflow(seed)
        network = _train(tensorflow, examples, epochs)
        return _convert(tensorflow, network, examples.windows), _weights(network)


def _tensorflow(seed: int) -> Any:
    """Import TensorFlow so that the same seed gives the same bytes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN chooses its kernels, and with them the order of additions, by the processor
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    import tensorflow

    tensorflow.keras.utils.set_random_seed(seed)
    tensorflow.config.experimental.enable_op_determinism()
    return tensorflow


def _train(tensorflow: Any, examples: Examples, epochs: int) -> Any:
    layers = tensorflow.keras.layers
    hidden = [layers.Dense(units, "relu6", name=f"hidden{number}") for number, units in enumerate(LAYERS)]
    network = tensorflow.keras.Sequential(
        [
            tensorflow.keras.Input((WINDOW,), name="window"),
            *hidden,
            layers.Dense(1, "sigmoid", name="unusual"),
        ]
    )
    network.compile(tensorflow.keras.optimizers.Adam(LEARNING_RATE), "binary_crossentropy")
    progress = tensorflow.keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: print(f"epoch {epoch + 1}/{epochs} loss {logs['loss']:.4f}", file=sys.stderr)
    )
    network.fit(examples.windows, examples.targets, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=[progress])
    return network


def _convert(tensorflow: Any, network: Any, windows: npt.NDArray[np.float32]) -> bytes:
    """Round weights, activations, input and output to int8; windows of the training examples set the ranges."""
    picked = windows[:: max(1, len(windows) // REPRESENTATIVE)]
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([window[np.newaxis]] for window in picked)
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.int8
    # one scale for each layer: tflite-runtime 2.14, the last for Python 3.11, knows no other for dense layers
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    return bytes(converter.convert())


def _weights(network: Any) -> Weights:
    pairs = (layer.get_weights() for layer in network.layers)
    return [(np.asarray(kernel, np.float32), np.asarray(bias, np.float32)) for kernel, bias in pairs]
