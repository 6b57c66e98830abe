"""`python -m models score`: recordings in, a score and an alarm for each row out."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly import Scorer
from edge_agent.sample import Sample
from models.__main__ import main
from models.replay import Recording, Way, load_recording, replay
from tests.builders import an_instant
from tests.models.recordings import a_series, write_fleet, write_stream

SHIPPED = Way()


def score(out: Path, *arguments: str | Path) -> int:
    return main(["score", "--jobs", "1", "--out", str(out), *map(str, arguments)])


def a_recording(rows: npt.NDArray[np.float64], history: int = 300) -> Recording:
    return Recording(path=Path("a.npz"), period_s=60.0, history=rows[:history], rows=rows[history:], remarks=())


def write_npz(path: Path, **changes: Any) -> Path:
    series = a_series(300)
    arrays: dict[str, Any] = {"train": series[:150], "test": series[150:]} | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_fleets_and_streams_are_mirrored_with_a_score_and_an_alarm_for_each_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_fleet(tmp_path / "data", 1)
    stream, out = write_stream(data), tmp_path / "out"
    assert score(out, data / "smd" / "m0.npz", stream) == 0
    for path, rows, first in (("smd/m0.npz", 900, 600), ("nab/real/one.npz", 400, 300)):
        got = np.load(out / path)
        assert got["score"].shape == got["alarm"].shape == (rows,)
        assert got["alarm"].dtype == np.bool_
        assert np.isfinite(got["score"]).all()
        assert (got["score"] >= 0).all()
        assert (got["score"] <= 1).all()
        assert got["alarm"][first : first + 5].any()
    printed = capsys.readouterr()
    assert printed.out == f"2 of 2 files scored into {out}\n"
    assert "1/2 " in printed.err
    assert "smd/m0.npz: 900 rows, " in printed.err


def test_what_is_scored_is_what_the_device_reports() -> None:
    rows = a_series(700)
    rows[600:620, 1] += 200
    replayed = replay(a_recording(rows), SHIPPED)
    pipeline = Pipeline(period_s=60.0, horizon_s=3600.0, scorer=Scorer(step_s=60.0))
    values, opened = [], []
    for number, row in enumerate([*rows, rows[-1]]):
        now = an_instant(60.0 * (number + 0.5))
        names = ("channel0", "channel1", "channel2")
        sample = Sample(at=now, values=dict(zip(names, row.tolist(), strict=True)))
        outcome = pipeline.step(sample, now)
        values += [outcome.score.value] if outcome.score else []
        opened += [number for printed in outcome.announcements if printed.finding.phase == "open"]
    # the rows at which a case opens rank above all others
    assert replayed.score == pytest.approx((np.array(values[300:]) + replayed.alarm) / 2)
    assert replayed.score[replayed.alarm].min() > 0.5 > replayed.score[~replayed.alarm].max()
    # a row is replayed by the sample after it, and a finding opens when a second row agrees
    assert opened == [300 + int(np.flatnonzero(replayed.alarm)[0]) + 2]


def test_a_row_is_scored_from_the_rows_up_to_it_only() -> None:
    rows = a_series(500)
    whole, part = replay(a_recording(rows), SHIPPED), replay(a_recording(rows[:420]), SHIPPED)
    assert (whole.score[:120] == part.score).all()
    assert (whole.alarm[:120] == part.alarm).all()


def test_less_history_is_another_way_of_judging() -> None:
    recording = a_recording(a_series(500), history=400)
    assert (replay(recording, Way(history_s=10_800.0)).score != replay(recording, SHIPPED).score).any()
    short = a_recording(a_series(500)[400 - 180 :], history=180)
    assert (replay(short, SHIPPED).score == replay(recording, Way(history_s=10_800.0)).score).all()


def test_a_period_that_binary_numbers_only_come_near_to_still_gives_one_row_each() -> None:
    recording = a_recording(a_series(400))
    slower = Recording(
        path=recording.path, period_s=0.1, history=recording.history, rows=recording.rows, remarks=recording.remarks
    )
    assert len(replay(slower, SHIPPED).score) == 100


def test_readings_that_are_not_finite_and_channels_that_stand_still_are_borne_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series = a_series(300)
    series[200, 0], series[210, 0], series[:, 1], series[:, 2] = np.nan, -np.inf, 7.0, np.nan
    path = write_npz(tmp_path / "smd" / "a.npz", train=series[:150], test=series[150:])
    assert score(tmp_path / "out", path) == 0
    assert "302 readings not finite, 1 channels constant, 1 channels empty, 302 readings dropped" in (
        capsys.readouterr().err
    )
    assert np.isfinite(np.load(tmp_path / "out" / "smd" / "a.npz")["score"]).all()


def test_timestamps_that_stand_still_or_go_back_are_borne_and_counted(tmp_path: Path) -> None:
    path = write_stream(tmp_path)
    lines = path.read_text().splitlines()
    lines[50], lines[100], lines[150:152] = lines[49], lines[20], lines[151:149:-1]
    lines[200] = lines[200].partition(",")[0] + ","
    path.write_text("\n".join(lines))
    recording = load_recording(path)
    assert recording.remarks == ("3 timestamps not after the one before", "1 readings not finite")
    assert (recording.period_s, len(recording.rows)) == (300.0, 400)


@pytest.mark.parametrize(
    ("changes", "given", "fleet", "expected"),
    [
        ({"period_s": np.array(10)}, 20.0, "mine", 10.0),
        ({}, 20.0, "asd", 20.0),
        ({}, None, "asd", 300.0),
        ({}, None, "mine", 300.0),
    ],
)
def test_the_period_is_the_files_then_the_users_then_the_fleets_then_five_minutes(
    tmp_path: Path, changes: dict[str, Any], given: float | None, fleet: str, expected: float
) -> None:
    recording = load_recording(write_npz(tmp_path / fleet / "a.npz", **changes), given)
    assert recording.period_s == expected
    assert (recording.remarks == ()) is (fleet != "mine" or bool(changes) or given is not None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"test": None}, "has no test; put rows"),
        ({"train": np.zeros(5)}, "make both .rows, channels."),
        ({"test": np.zeros((5, 9))}, "rows of the same channels"),
        ({"test": np.zeros((0, 3))}, "nothing to score"),
        ({"test": np.full((5, 3), "x")}, "must be numbers"),
        ({"period_s": np.array([0.0])}, "one positive number"),
        ({"period_s": np.array("fast")}, "one positive number"),
    ],
)
def test_a_file_that_cant_be_scored_is_named_in_one_line_and_the_others_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], reason: str
) -> None:
    bad, good = write_npz(tmp_path / "smd" / "bad.npz", **changes), write_npz(tmp_path / "smd" / "good.npz")
    assert score(tmp_path / "out", bad, good) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"1/2 {bad}: not scored: ")
    assert sum(str(bad) in line for line in lines) == 1
    with pytest.raises(ValueError, match=reason):
        load_recording(bad)
    assert lines[-1] == "models: 1 of 2 files could not be scored; each is named above"
    assert (tmp_path / "out" / "smd" / "good.npz").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("time,value\n", "has no column timestamp; the first line must be timestamp,value"),
        ("timestamp,value\n2026-01-01 00:00:00,1\nyesterday,1\n", "line 3 is not timestamp,value"),
        ("timestamp,value\n2026-01-01 00:00:00,1\n", "1 rows are too few"),
        ("timestamp,value\n2026-01-02,1\n2026-01-01,1\n2026-01-01,1\n", "put the rows into the order of time"),
        ("\x00", "has no column|not a readable csv"),
    ],
)
def test_a_csv_that_cant_be_scored_is_named_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason) as refused:
        load_recording(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_the_layout_below_a_root_is_mirrored_and_no_score_overwrites_another_or_a_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = write_npz(tmp_path / "x" / "smd" / "a.npz"), write_npz(tmp_path / "y" / "smd" / "a.npz")
    assert score(tmp_path / "out", "--root", tmp_path, one, other) == 0
    assert (tmp_path / "out" / "x" / "smd" / "a.npz").exists()
    assert score(tmp_path / "out", one, other) == 1
    assert f"{other}: its scores would overwrite those of {one}" in capsys.readouterr().err
    assert score(tmp_path / "x", one) == 1
    assert "would overwrite the recording" in capsys.readouterr().err
    assert score(tmp_path / "out", "--root", tmp_path / "x", other) == 1
    assert f"{other}: is not below --root" in capsys.readouterr().err


def test_a_file_of_another_kind_and_one_that_is_not_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note, missing = tmp_path / "note.txt", tmp_path / "missing.npz"
    note.write_text("")
    assert score(tmp_path / "out", note, missing) == 1
    printed = capsys.readouterr().err
    assert f"{note}: not scored: is neither .npz nor .csv; convert it to one of them" in printed
    assert f"{missing}: not scored: " in printed
