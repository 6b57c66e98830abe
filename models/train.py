"""`python -m models train`: makes what devices know of relations before they have seen anything; see also its WHAT.

What flows in: a folder of recordings (models/recordings) and a seed. What flows out: an artifact folder with fleet.npz,
manifest.json and card.md. Nothing in it depends on the time or place of training, so that training again gives the
same bytes: it is done twice.
"""

import argparse
import hashlib
import io
import json
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from edge_agent.artifacts.fleet import FLEET_FILE, MANIFEST_FILE
from edge_agent.detection.relations.relations import INPUT_VERSION, RELATIONS, FleetPrior
from models.machine import train as machine_train
from models.model_card import CARD_FILE, card
from models.persistence import persistence_artifact
from models.relations import Related, bars, fleet, fleet_of, folds, simulated_devices, strengths_of
from models.simulated_devices import RECORDINGS, Recorded, load_recordings

NAME = "relations"
ARTIFACTS = Path("models/artifacts")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `train` and its options."""
    parser = commands.add_parser("train", help="make an artifact from recordings", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, metavar="DIR", help=f"default {RECORDINGS}")
    parser.add_argument("--out", type=Path, default=ARTIFACTS, metavar="DIR", help=f"default {ARTIFACTS}")
    parser.add_argument("--seed", type=int, default=7, help="of everything that is random (default 7)")
    parser.add_argument("--model-version", default="1", help="version in the artifact's name (default 1)")
    parser.set_defaults(run=run)
    others = parser.add_subparsers(metavar="[KIND]", title="other kinds of artifact")
    machine_train.add_subcommand(others)
    persistence_artifact.add_command(others)


def run(options: argparse.Namespace) -> None:
    """Learn twice, set the bar on held-out recordings, write."""
    recordings = load_recordings(options.recordings)
    bar = held_out_bars(recordings, options.seed)
    name = f"{NAME}-{options.model_version}"
    content, again = (packed(fleet(name, fleet_of(recordings, options.seed), bar)) for _ in range(2))
    manifest = {
        "name": NAME,
        "version": options.model_version,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "relations": [relation.fault for relation in RELATIONS],
        "input_version": INPUT_VERSION,
        "bar": [round(one, 4) for one in bar.tolist()],
        "command": f"python -m models train --out OUT --seed {options.seed} --model-version {options.model_version}",
        "seed": options.seed,
        "data": {one.name: one.sha256 for one in recordings},
        "libraries": {"numpy": version("numpy"), "python": platform.python_version(), "machine": platform.machine()},
        "repeatable": content == again,
    }
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FLEET_FILE).write_bytes(content)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")
    (folder / CARD_FILE).write_text(card(manifest))
    print(f"{folder}: {len(content)} bytes, sha256 {manifest['sha256']}")


def held_out_bars(recordings: Sequence[Recorded], seed: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the bar of each relation for one false case a week: on recordings that the fleet has not seen."""
    healthy = []
    for number, (held_out, others) in enumerate(folds(recordings)):
        print(f"holding out {held_out.name}", file=sys.stderr, flush=True)
        knows = fleet(NAME, fleet_of(others, seed + number))
        healthy += [
            strengths_of(Related(knows), simulated)[0]
            for simulated in simulated_devices(held_out, others, seed + number, ())
        ]
    return bars(healthy)


def packed(one: FleetPrior) -> bytes:
    """Write down a Fleet; the same numbers give the same bytes (numpy dates the entries of a zip 1980)."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        mean=one.prior.mean.astype(np.float32),
        covariance=one.prior.covariance.astype(np.float32),
        variance=one.variance.astype(np.float32),
        centre=one.centre.astype(np.float32),
        spread=one.spread.astype(np.float32),
        bar=one.bar.astype(np.float32),
    )
    return file.getvalue()
