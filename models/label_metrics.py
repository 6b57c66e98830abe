"""`python -m models compare`: compares scores with labels.

What flows in: a folder of data and a folder of scores that mirrors it (what `python -m models score` writes, or
anybody's). What flows out: figures for each fleet, and for the Numenta streams.

    <scores>/<fleet>/<machine>.npz          score (m,), alarm (m,)   one for each row of `test`
    <scores>/nab/<category>/<stream>.npz    score (n,), alarm (n,)   one for each row of the csv
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_agent.detection.anomaly.baseline import Array
from models.case_metrics import Labels, Truth, best_of_each, best_of_fleet, false_per_week, total
from models.datasets import DataError, Machine, load_fleets, read_npz
from models.nab import PROFILES, load_corpus
from models.ranking_metrics import auc_pr, vus_pr
from models.score import seconds

BUFFER_ROWS = {True: 100, False: 24}
"""Of VUS: for rows of up to a minute, and of more."""


class Evaluated(NamedTuple):
    """A labelled machine, and the scores and alarms of a detector for it."""

    machine: Machine
    truth: Truth
    score: Array
    alarm: Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFigures:
    """A fleet's figures; docs/detection.md explains each. None where there is nothing to measure."""

    machines: int
    missing: int
    events: int
    precision: float
    recall: float
    event_f1: float
    false_per_week: float
    delay_median_min: float | None
    delay_p90_min: float | None
    best_f1_1wk: float
    best_recall_1wk: float
    oracle_f1: float
    vus_pr: float
    auc_pr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NabFigures:
    """The figures of the Numenta streams: with the best threshold, and with the detector's own alarms."""

    files: int
    best_threshold: float
    best_standard: float
    best_reward_low_FP_rate: float  # noqa: N815  the benchmark's own name
    best_reward_low_FN_rate: float  # noqa: N815
    own_standard: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All figures of one folder of scores, and what they were made of."""

    fleets: dict[str, FleetFigures]
    nab: NabFigures | None
    evaluated: tuple[Evaluated, ...]


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `compare` and its options."""
    parser = commands.add_parser("compare", aliases=["judge"], help="compare scores with labels", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of labelled telemetry")
    parser.add_argument("--scores", type=Path, required=True, metavar="DIR", help="folder of scores")
    parser.add_argument("--period-s", type=seconds, metavar="S", help="step of npz files without a period_s")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compare, and print the figures as JSON."""
    figures = compare(options.data, options.scores, options.period_s)
    parts = {name: asdict(fleet) for name, fleet in figures.fleets.items()}
    if figures.nab:
        parts["nab"] = asdict(figures.nab)
    print(json.dumps(parts, indent=1))


def compare(data: Path, scores: Path, given_period_s: float | None = None) -> Figures:
    """Compute the figures of every machine that has a score, and of the streams if any has one.

    Raises DataError if a fleet has no scores, if one doesn't fit its rows, or if some streams have none.
    """
    machines = load_fleets(data, given_period_s)
    evaluated = [_evaluated(machine, path) for machine in machines if (path := _path(scores, machine)).exists()]
    fleets = {}
    for fleet in sorted({machine.fleet for machine in machines}):
        members = sum(machine.fleet == fleet for machine in machines)
        part = [one for one in evaluated if one.machine.fleet == fleet]
        if not part:
            raise DataError(f"{scores / fleet}: no scores for any machine of {data / fleet}; score them first")
        fleets[fleet] = fleet_figures(part, missing=members - len(part))
    streams = (data / "nab" / "windows.json").exists() and (scores / "nab").exists()
    nab = nab_figures(data / "nab", scores / "nab") if streams else None
    return Figures(fleets=fleets, nab=nab, evaluated=tuple(evaluated))


def fleet_figures(evaluated: Sequence[Evaluated], missing: int = 0) -> FleetFigures:
    """All figures of one fleet. Areas are means over the machines that have an event."""
    truths, scores = [one.truth for one in evaluated], [one.score for one in evaluated]
    own = total(one.truth.cases(one.alarm) for one in evaluated)
    best = best_of_fleet(truths, scores)
    return FleetFigures(
        machines=len(evaluated),
        missing=missing,
        events=own.events,
        precision=own.precision,
        recall=own.recall,
        event_f1=own.f1,
        false_per_week=false_per_week(truths, own),
        delay_median_min=own.delay_min(0.5),
        delay_p90_min=own.delay_min(0.9),
        best_f1_1wk=best.f1,
        best_recall_1wk=best.recall,
        oracle_f1=best_of_each(truths, scores).f1,
        vus_pr=_mean([_vus_pr(one) for one in evaluated]),
        auc_pr=_mean([auc_pr(one.truth.label, one.score) for one in evaluated]),
    )


def nab_figures(data: Path, scores: Path) -> NabFigures:
    """All figures of the Numenta streams. Raises DataError if a stream has no score: the corpus counts as a whole."""
    corpus = load_corpus(data)
    read = {file: _read(scores / Path(file).with_suffix(".npz"), corpus.rows(file)) for file in corpus.files}
    score = {file: one for file, (one, _) in read.items()}
    alarm = {file: one.astype(np.float64) for file, (_, one) in read.items()}
    best = {name: corpus.best(score, profile) for name, profile in PROFILES.items()}
    return NabFigures(
        files=len(corpus.files),
        best_threshold=best["standard"].threshold,
        own_standard=corpus.at(alarm, PROFILES["standard"], 1.0).points,
        best_standard=best["standard"].points,
        best_reward_low_FP_rate=best["reward_low_FP_rate"].points,
        best_reward_low_FN_rate=best["reward_low_FN_rate"].points,
    )


def _vus_pr(one: Evaluated) -> float:
    return vus_pr(one.truth.label, one.score, BUFFER_ROWS[one.truth.period_s <= 60])


def _mean(areas: Sequence[float]) -> float:
    known = [area for area in areas if not np.isnan(area)]
    return float(np.mean(known)) if known else float("nan")


def _path(scores: Path, machine: Machine) -> Path:
    return scores / f"{machine.name}.npz"


def _evaluated(machine: Machine, path: Path) -> Evaluated:
    score, alarm = _read(path, len(machine.test))
    return Evaluated(machine, Truth(machine.label, machine.period_s), score, alarm)


def _read(path: Path, rows: int) -> tuple[Array, Labels]:
    """Return score and alarm of a file. Raises DataError unless there is one of each for every row."""
    if not path.exists():
        raise DataError(f"{path}: missing; score every recording first")
    arrays = read_npz(path)
    if missing := {"score", "alarm"} - arrays.keys():
        raise DataError(f"{path}: has no {', '.join(sorted(missing))}; score the recording again")
    score, alarm = arrays["score"].astype(np.float64).ravel(), arrays["alarm"].astype(np.bool_).ravel()
    if len(score) != rows or len(alarm) != rows or not np.isfinite(score).all():
        raise DataError(f"{path}: {len(score)} scores and {len(alarm)} alarms for {rows} rows, or a score not finite")
    return score, alarm
