"""`python -m models growth`: with which power of time do deviations grow while a device is young?

What flows in: the `train` rows of fleets; neither labels nor `test` rows. What flows out: for each fleet and for all of
them the powers of each statistic that edge_agent/detection/anomaly/age_correction.py holds.

Each machine is switched on anew every few days and watched for nine. How far each channel has strayed at an age is held
against how far it strayed in all nine days.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_agent.detection.anomaly.age_correction import MATURE_S, STATISTICS
from edge_agent.detection.anomaly.baseline import Array
from edge_agent.detection.anomaly.scorer import CAP, SETTLED_ROWS, Scorer
from models.datasets import DataError, load_fleets
from models.replay import DAY_S
from models.score import seconds

WATCHED_S = 9 * DAY_S
EVERY_S = 3.5 * DAY_S  # so that devices are switched on at two times of the day
OLDEST_S = 4 * DAY_S
AGES = 12


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `growth` and its options."""
    parser = commands.add_parser("growth", help="fit how deviations grow with age", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of telemetry")
    parser.add_argument("--period-s", type=seconds, metavar="S", help="step of npz files without a period_s")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Fit, and print JSON. Raises DataError if no machine was watched for nine days."""
    fleets: dict[str, list[Array]] = {}
    for machine in load_fleets(options.data, options.period_s):
        fleets.setdefault(machine.fleet, []).extend(watched(machine.train, machine.period_s))
    known = {fleet: np.concatenate(parts) for fleet, parts in fleets.items() if parts}
    if not known:
        raise DataError(f"{options.data}: no machine has train rows of {WATCHED_S / DAY_S:g} days")
    powers = {fleet: power([pairs]) for fleet, pairs in known.items()} | {"all": power(list(known.values()))}
    print(json.dumps({name: dict(zip(STATISTICS, one, strict=True)) for name, one in powers.items()}, indent=1))


def power(fleets: list[Array]) -> list[float]:
    """Least squares through the origin, for each statistic; each fleet weighs the same, however large."""
    products = np.array([(pairs[:, :1] * pairs[:, 1:]).mean(axis=0) for pairs in fleets]).sum(axis=0)
    squares = sum(float((pairs[:, 0] ** 2).mean()) for pairs in fleets)
    return [round(one / squares, 3) for one in products.tolist()]


def watched(rows: Array, period_s: float) -> Iterator[Array]:
    """For each time that the machine is switched on, logarithms (n, 1 + statistics): of a week over the time that a
    channel was watched, and for each statistic of what it strayed in nine days over what it had strayed by then.

    More than CAP either way makes no difference to a score. Channels that never changed are ignored.
    """
    length, every = round(WATCHED_S / period_s), round(EVERY_S / period_s)
    ages = np.geomspace(SETTLED_ROWS, OLDEST_S / period_s, AGES).astype(int)
    for start in range(0, len(rows) - length + 1, every):
        window = rows[start : start + length]
        strayed = _strayed(window, period_s, [*ages.tolist(), length])[:, :, np.ptp(window, axis=0) > 0]
        ratios = np.log(np.clip(strayed[-1] / strayed[:-1], 1 / CAP, CAP))
        young = np.log(MATURE_S / (ages * period_s))
        yield np.column_stack([np.repeat(young, ratios.shape[2]), *(one.ravel() for one in ratios.swapaxes(0, 1))])


def _strayed(rows: Array, period_s: float, ages: list[int]) -> Array:
    """Deviations after so many rows: (ages, statistics, channels)."""
    scorer, kept = Scorer(step_s=period_s), []
    names = [f"channel{number}" for number in range(rows.shape[1])]
    for number, row in enumerate([*rows.tolist(), []]):
        time_s = (number + 0.5) * period_s
        scorer.step(dict(zip(names, row, strict=False)), time_s, time_s)
        kept += [scorer.deviations()] if number in ages else []
    return np.stack(kept)
