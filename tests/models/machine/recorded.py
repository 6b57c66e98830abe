"""Small experiments on disk in the form of the benchmark: a healthy start of 400 rows, then a drop of the flow."""

from pathlib import Path

import numpy as np

HEAD = "datetime;Flow;Pressure;Temperature;anomaly;changepoint"


def write_experiment(
    folder: Path, name: str, *, seed: int, drop: float = 2.0, day: int = 1, labelled: bool = True
) -> Path:
    """Write 700 rows; from row 500 to row 649 the flow is lower."""
    rng = np.random.default_rng(seed)
    path = folder / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [HEAD if labelled else HEAD.removesuffix(";anomaly;changepoint")]
    for row in range(700):
        faulty = labelled and 500 <= row < 650
        flow = 32 + 0.4 * rng.standard_normal() - drop * faulty
        fields = [
            f"2020-03-{day:02} 10:{row // 60:02}:{row % 60:02}",
            flow,
            1.2 + 0.03 * rng.standard_normal(),
            70 + row / 100,
        ]
        lines.append(";".join(map(str, [*fields, *((float(faulty), 0.0) if labelled else ())])))
    path.write_text("\n".join(lines) + "\n")
    return path
