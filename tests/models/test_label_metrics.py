"""Scores compared with labels, cross-validated settings, and the whole evaluation."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.__main__ import main
from models.case_metrics import Truth
from models.cross_validation import SETTINGS, Strengths, held_out
from models.datasets import DataError, Machine
from models.label_metrics import Evaluated, compare, fleet_figures
from models.report import BEGIN, COLUMNS, END, insert
from tests.models.recordings import write_fleet, write_stream

WEEK_ROWS = 10_080


def an_evaluated(name: str, *, event: float, noise: float, alarm_from: float = 0.9) -> Evaluated:
    """A week in minutes: an event at row 5000 with one score, and two other rows with another."""
    label, score = np.zeros(WEEK_ROWS, np.bool_), np.zeros(WEEK_ROWS)
    label[5000:5010], score[5002], score[[1000, 9000]] = True, event, noise
    rows = np.zeros((WEEK_ROWS, 1))
    machine = Machine(name=name, sha256="", period_s=60.0, train=rows, test=rows, label=label)
    return Evaluated(machine, Truth(label, 60.0), score, score >= alarm_from)


def test_the_figures_of_a_fleet_by_hand() -> None:
    got = fleet_figures([an_evaluated("x/a", event=0.95, noise=0.1), an_evaluated("x/b", event=0.8, noise=0.91)])
    assert (got.machines, got.events) == (2, 2)
    assert (got.precision, got.recall, got.event_f1) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert (got.false_per_week, got.delay_median_min, got.delay_p90_min) == pytest.approx((1.0, 2.0, 2.0))
    # within two false cases a threshold of .8 finds both events; alone, the second may have one and would need two
    assert (got.best_f1_1wk, got.best_recall_1wk) == pytest.approx((2 / 3, 1.0))
    assert got.oracle_f1 == pytest.approx(2 / 3)
    assert 0 < got.vus_pr < 1


def test_a_fleet_that_is_never_alarmed_has_no_delay() -> None:
    got = fleet_figures([an_evaluated("x/a", event=0.2, noise=0.1)])
    assert (got.event_f1, got.delay_median_min, got.delay_p90_min) == (0.0, None, None)


def a_strength(name: str, event: float, noise: float) -> Strengths:
    """Three weeks in rows of 5 min after a week of history: an event in the last, and another row before it."""
    week = 7 * 288
    label, strength = np.zeros(3 * week, np.bool_), np.ones(4 * week)
    label[5000:5002] = True
    strength[[week + 3000, week + 5001]] = noise, event
    return Strengths(name=name, fleet=name[0], truth=Truth(label, 300.0), strength=strength)


def test_a_setting_chosen_by_others_is_not_the_one_that_suits_the_machine() -> None:
    # x/a is spared by a higher bar than the one that devices ship with, y found by a lower one
    machines = [a_strength("x/a", 9.0, 3.5), a_strength("x/b", 9.0, 1.0), a_strength("y/c", 2.6, 1.0)]
    outcomes = {(got.who, got.fleet): got for got in held_out(machines, jobs=1) if got.rate == "one a week"}
    assert {who for who, _ in outcomes} == {
        "as shipped", "all machines (in sample)", "the other machines", "the other fleets"
    }  # fmt: skip
    shipped = outcomes["as shipped", "y"]
    assert (shipped.cases.found, shipped.settings) == (0, (SETTINGS[0],))
    together = outcomes["all machines (in sample)", "y"]
    assert together.cases.found == 1
    assert together.settings[0].start < SETTINGS[0].start
    assert outcomes["the other fleets", "y"].cases.found == 0
    assert outcomes["the other fleets", "x"].cases.found == 2


def test_scores_that_do_not_fit_the_recording_are_refused_by_name(tmp_path: Path) -> None:
    data = write_fleet(tmp_path / "data", 2)
    with pytest.raises(DataError, match="no scores for any machine"):
        compare(data, tmp_path / "scores")
    path = tmp_path / "scores" / "smd" / "m0.npz"
    path.parent.mkdir(parents=True)
    for score, alarm, reason in (
        (np.zeros(899), np.zeros(900, bool), "899 scores and 900 alarms for 900 rows"),
        (np.full(900, np.nan), np.zeros(900, bool), "not finite"),
    ):
        np.savez(path, score=score, alarm=alarm)
        with pytest.raises(DataError, match=reason):
            compare(data, tmp_path / "scores")
    np.savez(path, score=np.zeros(900))
    with pytest.raises(DataError, match="has no alarm"):
        compare(data, tmp_path / "scores")
    np.savez(path, score=np.zeros(900), alarm=np.zeros(900, bool))
    assert compare(data, tmp_path / "scores").fleets["smd"].missing == 1


def test_evaluate_prints_every_figure_and_puts_them_into_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.step_cost.WARM_STEPS", 10)
    monkeypatch.setattr("models.step_cost.STEPS", 10)
    data, document, out = write_fleet(tmp_path / "data", 2, rows=700), tmp_path / "doc.md", tmp_path / "out"
    write_stream(data)
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    command = ["evaluate", "--data", str(data), "--out", str(out), "--jobs", "1", "--write", str(document)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    lines = [line.split(" | ") for line in printed.splitlines() if line.startswith("|")]
    fleets = [line for line in lines if line[1:3] == ["smd", "2"]]
    assert [line[0] for line in fleets] == ["| as shipped", "| one day of history", "| just switched on"]
    assert all(line[5] == "1.000" for line in fleets)  # every incident is found
    assert [line[0] for line in lines if line[1] == "1"] == ["| as shipped"]
    assert "| one a month | the other machines | smd |" in printed
    assert "µs |" in printed
    assert document.read_text() == f"before\n{BEGIN}\n{printed}{END}\nafter\n"
    assert main(["compare", "--data", str(data), "--scores", str(out / "as-shipped")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert f"{figures['smd']['vus_pr']:.3f}" == fleets[0][10]
    assert figures["nab"]["files"] == 1


def test_a_recording_that_cant_be_scored_ends_the_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_fleet(tmp_path / "data", 1, rows=641)
    np.savez(data / "smd" / "m1.npz", train=np.zeros(3), test=np.zeros((3, 1)), label=np.zeros(3))
    assert main(["evaluate", "--data", str(data), "--out", str(tmp_path / "out"), "--jobs", "1"]) == 1
    assert capsys.readouterr().err.endswith("models: 1 of 2 recordings could not be scored; each is named above\n")


def test_every_figure_of_the_table_is_explained() -> None:
    page = (Path(__file__).parents[2] / "docs" / "detection.md").read_text()
    explained = page.partition("## How to read")[2].partition("\n## ")[0]
    assert [
        name for name in [*COLUMNS, "best_standard", "standard from own alarms"] if f"| {name}" not in explained
    ] == []


def test_a_document_without_a_place_for_the_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("no place")
    with pytest.raises(DataError, match="has no place for a table"):
        insert(tmp_path / "a.md", "text")
