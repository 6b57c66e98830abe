"""The table of an evaluation, as Markdown; docs/detection.md explains its figures.

What flows in: figures by setting, what other settings of the bar would do, what a step costs. What flows out:
text, and a document with the text in its place.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.cross_validation import Outcome, Setting
from models.datasets import DataError
from models.label_metrics import Figures, FleetFigures
from models.step_cost import METRICS, Cost

BEGIN, END = "<!-- evaluation -->", "<!-- end of evaluation -->"

COLUMNS = {
    "event_f1": "event_f1",
    "precision": "precision",
    "recall": "recall",
    "false / week": "false_per_week",
    "delay median, min": "delay_median_min",
    "best_f1_1wk": "best_f1_1wk",
    "oracle_f1": "oracle_f1",
    "vus_pr": "vus_pr",
    "auc_pr": "auc_pr",
}


def report(figures: Mapping[str, Figures], chosen: Sequence[Outcome], cost: Cost) -> str:
    """Return the whole table; the first setting is the one that devices ship with."""
    shipped = next(iter(figures.values()))
    parts = ["Fleets:", _fleets(figures)]
    if shipped.nab:
        parts += ["Numenta streams, from 0 (no alarm) to 100 (every window at once, no false alarm):", _nab(figures)]
    parts += [
        "False cases as set and as incurred, by the machines on which the settings of the alarm threshold were chosen:",
        _chosen(chosen),
        f"CPU time of one whole step, {METRICS} metrics in, decision out:",
        table(["median", "p99"], [[f"{cost.median_us:.0f} µs", f"{cost.p99_us:.0f} µs"]]),
    ]
    return "\n\n".join(parts)


def insert(path: Path, text: str, begin_mark: str = BEGIN, end_mark: str = END) -> None:
    """Put a table between two marks of a document. Raises DataError if it has none."""
    before = path.read_text()
    head, begin, rest = before.partition(begin_mark)
    _, end, tail = rest.partition(end_mark)
    if not begin or not end:
        raise DataError(f"{path}: has no place for a table; put {begin_mark} and {end_mark} where it belongs")
    path.write_text(f"{head}{begin_mark}\n{text}\n{end_mark}{tail}")


def _fleets(figures: Mapping[str, Figures]) -> str:
    lines = []
    for way, evaluated in figures.items():
        for fleet, got in evaluated.fleets.items():
            cells = [_cell(field, getattr(got, field)) for field in COLUMNS.values()]
            lines.append([way, fleet, _found(got), *cells])
    return table(["way", "fleet", "machines", *COLUMNS], lines)


def _cell(field: str, value: float | None) -> str:
    return f"{value:.1f}" if value is not None and field.endswith("_min") else _number(value)


def _found(got: FleetFigures) -> str:
    return f"{got.machines}, {got.missing} missing" if got.missing else str(got.machines)


def _nab(figures: Mapping[str, Figures]) -> str:
    heads = ["way", "files", "best_standard", "at threshold", "low_FP", "low_FN", "standard from own alarms"]
    lines = [
        [
            way,
            str(nab.files),
            f"{nab.best_standard:.1f}",
            _number(nab.best_threshold),
            f"{nab.best_reward_low_FP_rate:.1f}",
            f"{nab.best_reward_low_FN_rate:.1f}",
            f"{nab.own_standard:.1f}",
        ]
        for way, evaluated in figures.items()
        if (nab := evaluated.nab)
    ]
    return table(heads, lines)


def _chosen(outcomes: Sequence[Outcome]) -> str:
    lines = []
    for got in outcomes:
        numbers = map(_number, (got.false_per_week, got.cases.f1, got.cases.precision, got.cases.recall))
        lines.append([got.rate, got.who, got.fleet, *numbers, _range(got.settings)])
    heads = ["set", "chosen by", "fleet", "false / week", "event_f1", "precision", "recall", "start, push"]
    return table(heads, lines)


def _range(settings: Sequence[Setting]) -> str:
    """Say which settings were given: one, or from the least to the largest of each."""
    spans = ((min(each), max(each)) for each in zip(*settings, strict=True))
    return ", ".join(f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}" for low, high in spans)


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
