"""Small fleets and streams on disk, each with one obvious incident."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

START = datetime(2026, 1, 1)  # noqa: DTZ001  the benchmark's timestamps have no zone


def a_series(rows: int, channels: int = 3, seed: int = 1) -> npt.NDArray[np.float64]:
    """Channels that sway and hum."""
    rng = np.random.default_rng(seed)
    series: npt.NDArray[np.float64] = rng.normal(size=(rows, channels))
    series += 4 * np.sin(np.arange(rows) / 50)[:, np.newaxis]
    return series


def write_fleet(folder: Path, machines: int, rows: int = 900, fleet: str = "smd") -> Path:
    """Write a fleet of machines, each with one incident that every channel shows, from row 600 of `test` on."""
    (folder / fleet).mkdir(parents=True)
    for number in range(machines):
        series = a_series(2 * rows, seed=number)
        label = np.zeros(rows, np.uint8)
        label[600:640] = 1
        series[rows + 600 : rows + 640] += 25
        np.savez(folder / fleet / f"m{number}.npz", train=series[:rows], test=series[rows:], label=label)
    return folder


def write_stream(folder: Path, rows: int = 400) -> Path:
    """Write one stream whose incident begins at row 300, and the windows of the corpus."""
    path = folder / "nab" / "real" / "one.csv"
    path.parent.mkdir(parents=True)
    values = np.random.default_rng(5).normal(size=rows)
    values[300:310] += 25
    times = [START + timedelta(minutes=5 * row) for row in range(rows)]
    lines = [f"{time},{value}" for time, value in zip(times, values, strict=True)]
    path.write_text("\n".join(["timestamp,value", *lines]))
    window = [[f"{times[295]}.000000", f"{times[320]}.000000"]]
    (folder / "nab" / "windows.json").write_text(json.dumps({"real/one.csv": window}))
    return path
