"""TFLite networks: loads an int8 artifact after checking it against its manifest, and runs it on one thread.

What flows in: an artifact folder with model.tflite and manifest.json. What flows out: a TfliteNetwork, or an
ArtifactError of one line: which file, what is wrong, what to do.

The interpreter (tflite-runtime on Python 3.11, LiteRT from 3.12) is imported and made at the first use: a device on
which nothing needs the network pays nothing for it.
"""

import hashlib
import importlib
import json
import logging
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_agent.detection.network import Array

MODEL_FILE = "model.tflite"
MANIFEST_FILE = "manifest.json"
CLIP = 8.0  # scaled features are clipped to +-CLIP before they are quantised
MOST_BYTES = 1 << 20  # of a model file; larger ones are not read
_INTERPRETER = "tflite_runtime.interpreter" if sys.version_info < (3, 12) else "ai_edge_litert.interpreter"
_REINSTALL = "put back the artifact folder as it was made, or reinstall forewarn"
_LOG = logging.getLogger(__name__)


class ArtifactError(ValueError):
    """The network can't be used; the message is one line with the file, the reason and the remedy."""


class Scaling(BaseModel):
    """Mean and scale of each feature: the network takes (value - mean) / scale."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    mean: tuple[float, ...]
    scale: tuple[float, ...]


class Manifest(BaseModel):
    """What the loader needs of manifest.json; the rest of it is for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    version: str = Field(pattern=r"^[0-9a-z.]{1,20}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    features: tuple[str, ...] = Field(min_length=1, max_length=1024)
    outputs: tuple[str, ...] = Field(min_length=1, max_length=1024)
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    scaling: Scaling

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        inputs, outputs = len(self.features), len(self.outputs)
        if self.input_shape[1:] != (inputs,) or self.output_shape[1:] != (outputs,):
            raise ValueError(f"input_shape and output_shape must be [-1, {inputs}] and [-1, {outputs}]")
        if len(self.scaling.mean) != inputs or len(self.scaling.scale) != inputs or min(self.scaling.scale) <= 0:
            raise ValueError(f"scaling must hold {inputs} means and as many positive scales")
        return self


class TfliteNetwork:
    """A Network in the interpreter, on one thread. Features and outputs are plain floats; int8 stays inside."""

    def __init__(self, manifest: Manifest, content: bytes, path: Path) -> None:
        """`content` are the checked bytes of the file `path`."""
        self.name = f"{manifest.name}-{manifest.version}"
        self.features = manifest.features
        self.outputs = manifest.outputs
        self._mean, self._scale = np.array(manifest.scaling.mean), np.array(manifest.scaling.scale)
        self._content: bytes | None = content
        self._path = path
        self._interpreter: Any = None
        self._rows = 0

    def run(self, values: Array) -> Array:
        """Return the outputs: (n, features) to (n, outputs); NaN everywhere if the interpreter refuses the network.

        The refusal is logged once.
        """
        if self._content is not None:
            content, self._content = self._content, None
            try:
                self._open(content)
            except ArtifactError as error:
                _LOG.warning("%s; the agent goes on without this network", error)
        if self._interpreter is None or not len(values):
            return np.full((len(values), len(self.outputs)), np.nan)
        return self._invoke(np.clip((values - self._mean) / self._scale, -CLIP, CLIP))

    def check(self) -> Self:
        """Make the interpreter now instead of at the first use. Raises ArtifactError."""
        if self._content is not None:
            content, self._content = self._content, None
            self._open(content)
        return self

    def _open(self, content: bytes) -> None:
        module = _interpreter_module()
        try:
            # without the XNNPACK delegate: it costs some MiB, and rounds differently from version to version
            kernels = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            interpreter = module.Interpreter(
                model_content=content, num_threads=1, experimental_op_resolver_type=kernels
            )
            (self._input,), (self._output,) = interpreter.get_input_details(), interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(f"{self._path}: the interpreter refuses it: {_one_line(error)}; {_REINSTALL}") from None
        for part, details, width in (("input", self._input, self.features), ("output", self._output, self.outputs)):
            shape, kind = tuple(details["shape_signature"]), np.dtype(details["dtype"])
            if shape != (-1, len(width)) or kind != np.int8:
                raise ArtifactError(
                    f"{self._path}: its {part} is {kind} of shape {shape}, the manifest says int8 of "
                    f"shape (-1, {len(width)}); {_REINSTALL}"
                )
        self._interpreter = interpreter
        try:
            self._invoke(np.zeros((1, len(self.features))))  # a network that can't be run is refused now, not later
        except (ValueError, RuntimeError) as error:
            self._interpreter = None
            raise ArtifactError(f"{self._path}: can't be run: {_one_line(error)}; {_REINSTALL}") from None

    def _invoke(self, scaled: Array) -> Array:
        if len(scaled) != self._rows:
            self._interpreter.resize_tensor_input(self._input["index"], scaled.shape)
            self._interpreter.allocate_tensors()
            self._rows = len(scaled)
        step, zero = self._input["quantization"]
        self._interpreter.set_tensor(
            self._input["index"], np.clip(np.rint(scaled / step) + zero, -128, 127).astype(np.int8)
        )
        self._interpreter.invoke()
        step, zero = self._output["quantization"]
        outputs: Array = (self._interpreter.get_tensor(self._output["index"]).astype(np.float64) - zero) * step
        return outputs


def shipped_network(name: str) -> Path:
    """Return the folder of an artifact that this version of the agent ships with: `persistence-2`."""
    return Path(str(resources.files("models"))) / "artifacts" / name


def load_network(folder: Path, features: Sequence[str] | None = None) -> TfliteNetwork:
    """Load the artifact in `folder`; `features` are those that the caller computes. Raises ArtifactError.

    No byte reaches the interpreter before manifest and hash are checked, and then only at the first use.
    """
    manifest = read_manifest(folder)
    if features is not None and tuple(features) != manifest.features:
        raise ArtifactError(f"{folder / MANIFEST_FILE}: {_difference(manifest.features, tuple(features))}")
    path = folder / MODEL_FILE
    content = _read(path)
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.sha256:
        raise ArtifactError(f"{path}: sha256 {digest} is not the manifest's {manifest.sha256}; {_REINSTALL}")
    return TfliteNetwork(manifest, content, path)


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of the artifact in `folder`. Raises ArtifactError."""
    path = folder / MANIFEST_FILE
    try:
        return Manifest.model_validate(json.loads(_read(path)))
    except ArtifactError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ArtifactError(f"{path}: {where}: {first['msg']}; {_REINSTALL}") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not JSON: {_one_line(error)}; {_REINSTALL}") from None


def _difference(theirs: tuple[str, ...], ours: tuple[str, ...]) -> str:
    if len(theirs) != len(ours):
        what = f"made for {len(theirs)} features, this agent computes {len(ours)}"
    else:
        number, pair = next((i, pair) for i, pair in enumerate(zip(theirs, ours, strict=True)) if pair[0] != pair[1])
        what = f"feature {number} is {pair[0]!r}, this agent computes {pair[1]!r}"
    return f"{what}; use the artifact of this agent's version"


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ArtifactError(f"{path}: larger than {MOST_BYTES} bytes; {_REINSTALL}")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror or error}; {_REINSTALL}") from None


def _interpreter_module() -> Any:
    try:
        return importlib.import_module(_INTERPRETER)
    except ImportError as error:
        package = _INTERPRETER.partition(".")[0].replace("_", "-")
        raise ArtifactError(f"{package}: can't be imported ({_one_line(error)}); pip install {package}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
