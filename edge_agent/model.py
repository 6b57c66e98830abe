"""Loads the shipped network, after making sure that it is the one its manifest describes.

What flows in: an artifact folder with model.tflite and manifest.json. What flows out: a TfliteNet that judges
windows, or a ModelError of one line: which file, what is wrong, what to do.
"""

import hashlib
import importlib
import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.detection.scoring import FEATURE_VERSION, FEATURES

SHIPPED = "shapes-1"
MODEL_FILE = "model.tflite"
MANIFEST_FILE = "manifest.json"
_INTERPRETER = "tflite_runtime.interpreter" if sys.version_info < (3, 12) else "ai_edge_litert.interpreter"
_REINSTALL = "put back the artifact folder as it was shipped, or reinstall forewarn"


class ModelError(ValueError):
    """The network can't be used; the message is one line with the file, the reason and the remedy."""


class Manifest(BaseModel):
    """What the loader needs of manifest.json; the rest of it is for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    version: str = Field(pattern=r"^[0-9a-z.]{1,20}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    features: tuple[str, ...]
    feature_version: int
    window: int = Field(ge=2, le=4096)


class TfliteNet:
    """A network in the interpreter, on one thread. Windows go in and judgements come out as plain floats."""

    def __init__(self, name: str, window: int, content: bytes) -> None:
        """Raises ModelError if there is no interpreter, or the content doesn't fit into it."""
        self.name = name
        self.window = window
        interpreter = _interpreter_class()
        try:
            self._interpreter: Any = interpreter(model_content=content, num_threads=1)
            self._input: dict[str, Any] = self._interpreter.get_input_details()[0]
            self._output: dict[str, Any] = self._interpreter.get_output_details()[0]
        except (ValueError, RuntimeError, IndexError) as error:
            raise ModelError(f"{name}: the interpreter refuses the network: {_one_line(error)}; {_REINSTALL}") from None
        if tuple(self._input["shape_signature"]) != (-1, window) or self._input["dtype"] != np.int8:
            raise ModelError(f"{name}: the network doesn't take int8 windows of {window} rows; {_REINSTALL}")
        self._channels = 0

    def judge(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """From (channels, window) to (channels,) 0..1: how unusual each channel's last rows are."""
        if not len(windows):
            return np.zeros(0, np.float32)
        if len(windows) != self._channels:
            self._interpreter.resize_tensor_input(self._input["index"], (len(windows), self.window))
            self._interpreter.allocate_tensors()
            self._channels = len(windows)
        scale, zero = self._input["quantization"]
        quantised = np.clip(np.rint(windows / scale) + zero, -128, 127).astype(np.int8)
        self._interpreter.set_tensor(self._input["index"], quantised)
        self._interpreter.invoke()
        scale, zero = self._output["quantization"]
        answers = self._interpreter.get_tensor(self._output["index"])[:, 0].astype(np.float32)
        judged: npt.NDArray[np.float32] = (answers - np.float32(zero)) * np.float32(scale)
        return judged

    @property
    def quantisation(self) -> dict[str, tuple[float, int]]:
        """Scale and zero point of input and output."""
        parts = {"input": self._input, "output": self._output}
        return {part: (float(d["quantization"][0]), int(d["quantization"][1])) for part, d in parts.items()}


def shipped() -> Path:
    """Return the folder of the artifact that this version of the agent ships with."""
    return Path(str(resources.files("models"))) / "artifacts" / SHIPPED


def load_net(path: Path) -> TfliteNet:
    """Load the artifact in folder `path`. The interpreter sees no byte before manifest and hash are checked."""
    manifest = _read_manifest(path / MANIFEST_FILE)
    content = _read(path / MODEL_FILE)
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.sha256:
        raise ModelError(f"{path / MODEL_FILE}: sha256 {digest} is not the manifest's {manifest.sha256}; {_REINSTALL}")
    return TfliteNet(f"{manifest.name}-{manifest.version}", manifest.window, content)


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate(json.loads(_read(path)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelError(f"{path}: {where}: {first['msg']}; {_REINSTALL}") from None
    except ValueError as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: not JSON: {_one_line(error)}; {_REINSTALL}") from None
    made_for, here = (manifest.features, manifest.feature_version), (FEATURES, FEATURE_VERSION)
    if made_for != here:
        raise ModelError(
            f"{path}: made for features {', '.join(made_for[0])} version {made_for[1]}, this agent makes "
            f"{', '.join(here[0])} version {here[1]}; use the artifact of this agent's version"
        )
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; {_REINSTALL}") from None


def _interpreter_class() -> Any:
    try:
        return importlib.import_module(_INTERPRETER).Interpreter
    except (ImportError, AttributeError) as error:
        package = _INTERPRETER.partition(".")[0].replace("_", "-")
        raise ModelError(f"{package}: can't be imported ({_one_line(error)}); pip install {package}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
