"""`python -m models train machine`: makes a classifier for a kind of machine from recordings.

What flows in: recordings of `edge-agent record`, the agent's configuration that names the machine and its channels, and
a file of labels (recording;first_s;last_s, in seconds of uptime). Without labels faults are injected into the
recordings, which must be healthy then. With --virtual-pumps the recordings are simulated ones. What flows out: an
artifact folder with model.tflite, manifest.json and card.md.

An artifact is written only if the network beats, at each of three seeds and on recordings held out, both the device's
statistics alone and a logistic regression on the same features.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.artifacts.tflite_network import load_network
from edge_agent.config import ConfigError, load
from edge_agent.detection.machine.classifier import feature_names
from edge_agent.detection.machine.machine import SHORTEST_START_S
from edge_agent.detection.network import Array, Network
from firmware_stubs.pump import FAST_CHANNELS
from models.datasets import DataError
from models.dense_network import logistic
from models.machine.classifier_training import (
    HIDDEN,
    SEEDS,
    Classified,
    Comparison,
    Watched,
    compare,
    moved,
    train,
    watched,
)  # fmt: skip
from models.machine.episodes import Episode, injected_episodes, labelled_episode, pump_episodes, read_labels
from models.quantised_network import Ends, libraries, to_int8, write_artifact

FEWEST_EPISODES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a network is trained on: its channels, and a line that says where the episodes come from."""

    channels: tuple[str, ...]
    episodes: Sequence[Episode]
    data: str


def add_subcommand(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `train machine` and its options."""
    parser = commands.add_parser("machine", help="make a classifier for a kind of machine", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("recordings", type=Path, nargs="*", metavar="RECORDING", help="csv of edge-agent record")
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="faults in the recordings; without: they are healthy"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="agent.toml that names the machine's channels")
    parser.add_argument("--machine", metavar="NAME", help="which of its machines (default: the first)")
    parser.add_argument("--virtual-pumps", type=int, default=0, metavar="N", help="train on N virtual pumps instead")
    parser.add_argument(
        "--start-s", type=int, default=SHORTEST_START_S, metavar="S", help="healthy start (default 2000)"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the virtual pumps and injected faults (default 7)")
    parser.add_argument("--name", default="pump", help="name of the artifact (default pump)")
    parser.add_argument("--model-version", default="1", help="version in the artifact's name (default 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to make the artifact's folder")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compare on held-out episodes, then train on all of them, round to int8, and write."""
    libraries()  # complains before the long part
    source = _source(options)
    if len(source.episodes) < FEWEST_EPISODES:
        raise DataError(f"{len(source.episodes)} episodes; a network needs {FEWEST_EPISODES}: give more recordings")
    episodes = [watched(episode) for episode in source.episodes]
    comparison = compare(episodes)
    print(report(comparison))
    if not comparison.worth_it:
        raise DataError("no artifact: the network does not beat statistics and regression at every seed; use neither")
    classified = moved(train(episodes, HIDDEN, SEEDS), comparison.bar)
    folder = options.out / f"{options.name}-{options.model_version}"
    _write(folder, classified, episodes, source, comparison, options)


def report(comparison: Comparison) -> str:
    """Return the comparison for people, a line each."""
    lines = [f"statistics alone: {comparison.statistics.line()}"]
    for seed, (other, one) in enumerate(zip(comparison.regression, comparison.network, strict=True)):
        lines += [
            f"seed {seed}: with a logistic regression {other.line()}",
            f"seed {seed}: with the network {one.line()}",
        ]
    return "\n".join(lines)


def _source(options: argparse.Namespace) -> Source:
    if options.virtual_pumps:
        episodes = list(pump_episodes(options.virtual_pumps, options.start_s, options.seed))
        return Source(channels=FAST_CHANNELS, episodes=episodes, data=f"{options.virtual_pumps} virtual pumps")
    channels = _channels(options)
    faults = read_labels(options.labels) if options.labels else {}
    if unknown := faults.keys() - {path.name for path in options.recordings}:
        raise DataError(f"{options.labels}: names {min(unknown)!r}, which is none of the recordings; correct it")
    recorded = [
        labelled_episode(path, list(channels.values()), faults.get(path.name, []), options.start_s)
        for path in options.recordings
    ]
    if options.labels:
        return Source(channels=tuple(channels), episodes=recorded, data=f"{len(recorded)} labelled recordings")
    copies = [
        copy
        for number, one in enumerate(recorded)
        for round_ in range(2)
        for copy in injected_episodes(one, options.seed + 100 * number + 10 * round_)
    ]
    return Source(channels=tuple(channels), episodes=copies, data=f"faults injected into {len(recorded)} recordings")


def _channels(options: argparse.Namespace) -> dict[str, str]:
    try:
        machines = {machine.name: machine for machine in load(options.config).machines}
    except ConfigError as error:
        raise DataError(str(error)) from None
    name = options.machine or next(iter(machines), None)
    if name not in machines:
        raise DataError(f"--machine {name}: not in the configuration, which has: {', '.join(machines) or 'none'}")
    return machines[name].channels


def _write(
    folder: Path,
    classified: Classified,
    episodes: Sequence[Watched],
    source: Source,
    comparison: Comparison,
    options: argparse.Namespace,
) -> None:
    features = np.concatenate([one.features for one in episodes])
    content = to_int8(classified.networks, classified.scaling.scaled(features))
    training = {
        "data": source.data,
        "seeds": list(SEEDS),
        "seed": options.seed,
        "start_s": options.start_s,
        "weights": sum(network.weights for network in classified.networks),
        "bar": comparison.bar,
        "held_out": report(comparison).splitlines(),
        "libraries": libraries(),
    }
    ends = Ends(features=feature_names(source.channels), outputs=("logit",), scaling=classified.scaling)
    write_artifact(folder, content, ends, training=training, card=_card(folder.name, training, len(content)))
    loss = int8_loss(classified, load_network(folder), features)
    print(f"{folder}: {len(content)} bytes, int8 moves a probability by {loss:.4f} in the mean")


def int8_loss(classified: Classified, network: Network, features: Array) -> float:
    """Return the mean difference of the probabilities in int8 and in floating point."""
    return float(np.abs(logistic(network.run(features)[:, 0]) - logistic(classified.logits(features))).mean())


def _card(name: str, training: dict[str, object], size: int) -> str:
    held_out = (
        "\n".join(f"    {line}" for line in training["held_out"]) if isinstance(training["held_out"], list) else ""
    )
    return f"""# {name}

A classifier beside the statistics of a machine: from level, spread and change of each channel, in units of the
channel's own wander, to the logit of a fault. int8, {training["weights"]} weights, {size} bytes.

- Trained on: {training["data"]}. No public benchmark was used.
- It is used only beside the statistics (edge_agent/detection/machine): it can open an alarm that they do not open.
- Held out in turn, together with the statistics:

{held_out}

Limits: it knows the kinds of fault that it was trained on. A simulated pump is no pump: expect less on a real one, and
train on your own recordings (docs/machines.md).
"""
