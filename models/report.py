"""The table of an evaluation, as Markdown; docs/detection.md says what its figures mean.

What flows in: figures by way of judging, what thresholds would do, what a step costs. What flows out: text, and a
document with the text in its place.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.cost import METRICS, Cost
from models.datasets import DataError
from models.judge import Figures, FleetFigures
from models.thresholds import Candidate, Outcome, held_out, in_sample

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


def report(figures: Mapping[str, Figures], tried: Sequence[Candidate], costs: Mapping[str, Cost]) -> str:
    """Return the whole table; the first way of judging is the one that devices ship with."""
    shipped = next(iter(figures.values()))
    parts = ["Fleets:", _fleets(figures)]
    if shipped.nab:
        parts += ["Numenta streams, from 0 (nothing told) to 100 (all told at once, nothing else):", _nab(figures)]
    parts += [
        "One threshold on the score for all machines, chosen by who:",
        _thresholds(tried),
        f"CPU time of one whole step, {METRICS} metrics in, decision out:",
        _costs(costs),
    ]
    return "\n\n".join(parts)


def insert(path: Path, text: str) -> None:
    """Put a table into a document. Raises DataError if it has no place for one."""
    before = path.read_text()
    head, begin, rest = before.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise DataError(f"{path}: has no place for an evaluation; put {BEGIN} and {END} where it belongs")
    path.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


def _fleets(figures: Mapping[str, Figures]) -> str:
    lines = []
    for way, judged in figures.items():
        for fleet, got in judged.fleets.items():
            cells = [_cell(field, getattr(got, field)) for field in COLUMNS.values()]
            lines.append([way, fleet, _found(got), *cells])
    return _markdown(["way", "fleet", "machines", *COLUMNS], lines)


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
        for way, judged in figures.items()
        if (nab := judged.nab)
    ]
    return _markdown(heads, lines)


def _thresholds(tried: Sequence[Candidate]) -> str:
    lines = _chosen("all machines (in sample)", in_sample(tried))
    if len(tried) > 1:
        lines += _chosen("the other machines", held_out(tried, lambda one: one.name))
    if len({one.fleet for one in tried}) > 1:
        lines += _chosen("the other fleets", held_out(tried, lambda one: one.fleet))
    return _markdown(["chosen by", "fleet", "threshold", "event_f1", "precision", "recall", "false / week"], lines)


def _chosen(who: str, outcomes: Mapping[str, Outcome]) -> list[list[str]]:
    lines = []
    for fleet, got in outcomes.items():
        given = f"{got.lowest:.3f}" if got.lowest == got.highest else f"{got.lowest:.3f} to {got.highest:.3f}"
        cases = got.cases
        numbers = map(_number, (cases.f1, cases.precision, cases.recall, got.false_per_week))
        lines.append([who, fleet, given, *numbers])
    return lines


def _costs(costs: Mapping[str, Cost]) -> str:
    lines = [[way, f"{cost.median_us:.0f} µs", f"{cost.p99_us:.0f} µs"] for way, cost in costs.items()]
    return _markdown(["way", "median", "p99"], lines)


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
