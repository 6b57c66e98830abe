"""`python -m models score`: score each row of recordings with the agent's own detection.

What flows in: npz files (train, test; optional period_s) and csv files (timestamp,value). What flows out: for each an
npz with `score` (0..1) and `alarm` (true, false), one for each row of `test` or of the csv, and the `strength` of all
rows, history included; below DIR under the file's last folders: smd/<name>.npz, nab/<category>/<name>.npz; with --root
under its path from there.

`train` is replayed first, as the device's history. A csv has none: its first rows are scored as on a device that was
just switched on. One configuration scores every file; row i depends on the rows up to i only.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.datasets import DataError
from models.replay import Way, load_recording, replay


class Task(NamedTuple):
    """One file to score, the target, the settings, and the period for files without one."""

    path: Path
    target: Path
    way: Way
    given_period_s: float | None


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `score` and its options."""
    parser = commands.add_parser("score", help="score recordings with the agent's detection", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help=".npz or .csv")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the scores go")
    parser.add_argument("--root", type=Path, metavar="DATA", help="mirror the layout below this folder")
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe what `score` and `evaluate` have in common."""
    parser.add_argument(
        "--period-s", type=seconds, metavar="S", help="step of npz files without a period_s (default 300; smd 60)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a processor)")


def run(options: argparse.Namespace) -> None:
    """Score every file. An unreadable file is reported, and the others are still scored."""
    targets = plan(options.files, options.out, options.root)
    tasks = [Task(path, target, Way(), options.period_s) for path, target in targets.items()]
    failed = score_all(tasks, options.jobs)
    print(f"{len(tasks) - failed} of {len(tasks)} files scored into {options.out}")
    if failed:
        raise DataError(f"{failed} of {len(tasks)} files could not be scored; each is named above")


def plan(files: Sequence[Path], out: Path, root: Path | None) -> dict[Path, Path]:
    """Return the target of each file. Raises DataError if two files meet in one, or one would be overwritten."""
    targets: dict[Path, Path] = {}
    sources = {path.resolve() for path in files}
    taken: dict[Path, Path] = {}
    for path in dict.fromkeys(files):
        target = out / _place(path, root).with_suffix(".npz")
        if other := taken.get(target):
            raise DataError(f"{path}: its scores would overwrite those of {other}; give --root, or another --out")
        if target.resolve() in sources:
            raise DataError(f"{path}: its scores would overwrite the recording {target}; give another --out")
        taken[target] = path
        targets[path] = target
    return targets


def score_all(tasks: Sequence[Task], jobs: int) -> int:
    """Score all files, report each on stderr, and return how many could not be scored."""
    failed = 0
    for number, (task, (done, message)) in enumerate(zip(tasks, _each(tasks, jobs), strict=True), start=1):
        failed += not done
        print(f"{number}/{len(tasks)} {message if done else f'{task.path}: not scored: {message}'}", file=sys.stderr)
    return failed


def _each(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[bool, str]]:
    workers = min(max(1, jobs), len(tasks))
    if workers == 1:
        yield from map(_score, tasks)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as processes:
        yield from processes.map(_score, tasks)


def _score(task: Task) -> tuple[bool, str]:
    """Score one file; return whether it succeeded, and a line about it."""
    try:
        recording = load_recording(task.path, task.given_period_s)
        replayed = replay(recording, task.way)
        task.target.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(task.target, score=replayed.score, alarm=replayed.alarm, strength=replayed.strength)
    except (DataError, OSError) as error:
        return False, str(error).removeprefix(f"{task.path}: ")
    remarks = [*recording.remarks, *([f"{replayed.dropped} readings dropped"] if replayed.dropped else [])]
    return True, ", ".join([f"{task.path}: {len(replayed.score)} rows, {replayed.alarm.sum()} with alarm", *remarks])


def _place(path: Path, root: Path | None) -> Path:
    """Where the scores of a file belong below the output folder."""
    if root is None:
        folder = path.resolve().parent.name
        return Path("nab", folder, path.name) if path.suffix == ".csv" else Path(folder, path.name)
    try:
        return path.resolve().relative_to(root.resolve())
    except ValueError:
        raise DataError(f"{path}: is not below --root {root}; name the folder it is in") from None


def seconds(text: str) -> float:
    """Read a period from the command line."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number of seconds")
    return seconds
