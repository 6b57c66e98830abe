"""`python -m models persistence`: answers the judge of ramps with the probability that each reaches its limit.

What flows in: a folder of telemetry, the ramps of the judge, and the artifact. What flows out: a list of probabilities
in the order of the ramps. Each series is summarised and each ramp described by the code of the device; rows from the
end of a ramp on are not read.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.artifacts.tflite_network import load_network, shipped_network
from edge_agent.detection.network import Array, Network
from edge_agent.detection.trends.persistence_features import FEATURES
from models.datasets import DataError
from models.dense_network import logistic
from models.persistence.telemetry_ramps import LEAST_ROWS, TelemetryRamp, channels, samples_of

SHIPPED = "persistence-2"
_FIELDS = {"file": str, "channel": int, "end": int, "watched": int, "up": bool, "limit": float}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `persistence` and its options."""
    parser = commands.add_parser("persistence", help="say of ramps whether they go on", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds the files that the ramps name")
    parser.add_argument("--ramps", type=Path, required=True, metavar="FILE", help='{"ramps": [{"file", ...}, ...]}')
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="gets the list of probabilities")
    parser.add_argument("--artifact", type=Path, metavar="DIR", help=f"default: {SHIPPED} as shipped")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Answer all ramps."""
    ramps = read_ramps(options.ramps)
    network = load_network(options.artifact or shipped_network(SHIPPED), FEATURES).check()
    probabilities = answer(network, ramp_features(options.data, ramps))
    options.out.write_text(json.dumps([round(float(one), 6) for one in probabilities]))
    print(f"{options.out}: {len(probabilities)} probabilities by {network.name}")


def answer(network: Network, features: Array) -> Array:
    """Return the probability of each row of features."""
    return logistic(network.run(features))[:, 0]


def ramp_features(data: Path, ramps: list[TelemetryRamp]) -> Array:
    """Return the features of ramps (n, FEATURES), machine by machine, with progress on stderr."""
    features = np.zeros((len(ramps), len(FEATURES)))
    places: dict[str, list[int]] = defaultdict(list)
    for place, ramp in enumerate(ramps):
        places[ramp.file].append(place)
    for number, (file, ours) in enumerate(places.items(), start=1):
        rows, period_s = channels(data, file)
        for place in ours:
            _check(ramps[place], place, rows)
        features[ours] = samples_of([ramps[place] for place in ours], rows, period_s).features
        print(f"{number}/{len(places)} {file}: {len(ours)} ramps", file=sys.stderr, flush=True)
    return features


def read_ramps(path: Path) -> list[TelemetryRamp]:
    """Read the judge's ramps. Raises DataError naming file, place and field."""
    try:
        raw = json.loads(path.read_text())["ramps"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no ramps ({error!r}); make it with ramps.py extract") from None
    if not isinstance(raw, list) or not raw:
        raise DataError(f"{path}: ramps must be a list that is not empty; make it with ramps.py extract")
    return [_read(path, place, one) for place, one in enumerate(raw)]


def _read(path: Path, place: int, raw: Any) -> TelemetryRamp:
    try:
        values: dict[str, Any] = {name: kind(raw[name]) for name, kind in _FIELDS.items()}
        values |= {name: bool(raw.get(name, False)) for name in ("new_ground", "reaches")}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: ramp {place}: {error!r}; make it with ramps.py extract") from None
    if not math.isfinite(values["limit"]):
        raise DataError(f"{path}: ramp {place}: limit {values['limit']} must be finite")
    return TelemetryRamp(**values)


def _check(ramp: TelemetryRamp, place: int, rows: Array) -> None:
    if not (LEAST_ROWS <= ramp.watched <= ramp.end <= len(rows)) or not 0 <= ramp.channel < rows.shape[1]:
        raise DataError(
            f"ramp {place}: rows {ramp.end - ramp.watched} to {ramp.end} of channel {ramp.channel} are not in "
            f"{ramp.file} ({rows.shape[0]} rows, {rows.shape[1]} channels); extract the ramps from this data"
        )
