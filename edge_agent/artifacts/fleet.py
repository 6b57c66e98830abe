"""Artifacts: loads the fleet prior of the relations between metrics, after checking it against its manifest.

What flows in: an artifact folder with fleet.npz and manifest.json. What flows out: a Fleet, or a ModelError of one
line: which file, what is wrong, what to do.
"""

import hashlib
import io
import json
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.detection.relations.regression import Prior
from edge_agent.detection.relations.relations import INPUT_VERSION, RELATIONS, WIDTH, FleetPrior

SHIPPED = "relations-1"
FLEET_FILE = "fleet.npz"
MANIFEST_FILE = "manifest.json"
_REINSTALL = "put back the artifact folder as it was shipped, or reinstall forewarn"
_SHAPES = {
    "mean": (len(RELATIONS), WIDTH),
    "covariance": (len(RELATIONS), WIDTH, WIDTH),
    "variance": (len(RELATIONS),),
    "centre": (len(RELATIONS),),
    "spread": (len(RELATIONS),),
    "bar": (len(RELATIONS),),
}


class ModelError(ValueError):
    """The artifact can't be used; the message is one line with the file, the reason and the remedy."""


class Manifest(BaseModel):
    """What the loader needs of manifest.json; the rest of it is for people."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    version: str = Field(pattern=r"^[0-9a-z.]{1,20}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    relations: tuple[str, ...]
    input_version: int


def shipped() -> Path:
    """Return the folder of the artifact that this version of the agent ships with."""
    return Path(str(resources.files("models"))) / "artifacts" / SHIPPED


def load_fleet(path: Path) -> FleetPrior:
    """Load the artifact in folder `path`. No byte of it is parsed before manifest and hash are checked."""
    manifest = _read_manifest(path / MANIFEST_FILE)
    content = _read(path / FLEET_FILE)
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.sha256:
        raise ModelError(f"{path / FLEET_FILE}: sha256 {digest} is not the manifest's {manifest.sha256}; {_REINSTALL}")
    return fleet_of(f"{manifest.name}-{manifest.version}", content, path / FLEET_FILE)


def fleet_of(name: str, content: bytes, path: Path) -> FleetPrior:
    """Read a Fleet from the bytes of a .npz. Raises ModelError naming `path`."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {key: arrays[key].astype(np.float64) for key in _SHAPES}
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: can't be read ({error}); {_REINSTALL}") from None
    for key, shape in _SHAPES.items():
        if found[key].shape != shape or not np.isfinite(found[key]).all():
            raise ModelError(f"{path}: {key} must hold finite numbers of shape {shape}; {_REINSTALL}")
    if min(found[key].min() for key in ("variance", "spread", "bar")) <= 0:
        raise ModelError(f"{path}: variance, spread and bar must be positive; {_REINSTALL}")
    prior = Prior(mean=found.pop("mean"), covariance=found.pop("covariance"))
    return FleetPrior(name=name, prior=prior, **found)


def _read_manifest(path: Path) -> Manifest:
    content = _read(path)
    try:
        manifest = Manifest.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelError(f"{path}: {where}: {first['msg']}; {_REINSTALL}") from None
    except ValueError as error:
        raise ModelError(f"{path}: not JSON: {error}; {_REINSTALL}") from None
    made_for, here = (manifest.relations, manifest.input_version), (tuple(r.fault for r in RELATIONS), INPUT_VERSION)
    if made_for != here:
        raise ModelError(
            f"{path}: made for relations {', '.join(made_for[0])} version {made_for[1]}, this agent has "
            f"{', '.join(here[0])} version {here[1]}; use the artifact of this agent's version"
        )
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; {_REINSTALL}") from None
