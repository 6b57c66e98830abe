"""Episodes: recordings with labels, injected faults, virtual pumps; a recording of another shape is one line."""

from pathlib import Path

import numpy as np
import pytest

from models.datasets import DataError
from models.machine.episodes import injected_episodes, labelled_episode, pump_episodes, read_labels, read_recording
from models.machine.injected import KINDS, LASTS_S

SERIES = ["pump.flow", "pump.head"]


def a_recording(path: Path, rows: int = 800, head: str = "uptime_s;pump.flow;pump.head") -> Path:
    rng = np.random.default_rng(0)
    lines = [f"{1000 + row};{rng.standard_normal():.4f};{rng.standard_normal():.4f}" for row in range(rows)]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_a_recording_is_read_and_a_missing_reading_is_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("uptime_s;pump.flow;other;pump.head\n1;2;0;3\n2;;0;4\n")

    times, rows = read_recording(path, SERIES)

    assert times.tolist() == [1, 2]
    assert rows.tolist() == [[2, 3], [2, 4]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no column 'uptime_s'; record it"),
        ("uptime_s;pump.flow\n1;2\n", "has no column 'pump.head'; record it"),
        ("uptime_s;pump.flow;pump.head\n1;2;x\n", "not a recording of edge-agent record"),
        ("uptime_s;pump.flow;pump.head\n1;2\n", "not a recording of edge-agent record"),
        ("uptime_s;pump.flow;pump.head\n1;2;3\n2;2;inf\n", "line 3 has a time or a value that is no finite number"),
        ("uptime_s;pump.flow;pump.head\nnan;2;3\n2;2;1\n", "line 2 has a time or a value that is no finite number"),
        ("uptime_s;pump.flow;pump.head\n1;2;3\n11;2;1\n21;2;1\n", "its rows are 10 s apart; record one a second"),
        ("uptime_s;pump.flow;pump.head\n2;2;2\n1;2;2\n", "whose uptimes must rise"),
        ("uptime_s;pump.flow;pump.head\n1;;2\n2;2;2\n", "no reading in the first row"),
    ],
)
def test_a_recording_of_another_shape_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(text)

    with pytest.raises(DataError, match=complaint) as raised:
        read_recording(path, SERIES)

    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_labels_mark_rows_by_uptime(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("recording;first_s;last_s\nr.csv;1500;1599\n")

    faults = read_labels(labels)
    episode = labelled_episode(a_recording(tmp_path / "r.csv"), SERIES, faults["r.csv"], 400)

    assert np.flatnonzero(episode.labels)[[0, -1]].tolist() == [500, 599]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the first line must be"),
        ("recording;first_s;last_s\nr.csv;x;2\n", "line 2 must be"),
        ("recording;first_s;last_s\nr.csv;9;2\n", "line 2: a fault from 9 to 2; its end must follow"),
        ("recording;first_s;last_s\nr.csv;nan;2\n", "line 2: a fault from nan to 2; its end must follow"),
    ],
)
def test_wrong_labels_are_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)

    with pytest.raises(DataError, match=complaint):
        read_labels(path)


def test_the_start_must_be_healthy_and_long_enough(tmp_path: Path) -> None:
    path = a_recording(tmp_path / "r.csv")

    with pytest.raises(DataError, match="a fault within the first 400 s"):
        labelled_episode(path, SERIES, [(1300, 1310)], 400)
    with pytest.raises(DataError, match="800 rows; needs a healthy start of 600 and 300 more"):
        labelled_episode(path, SERIES, [], 600)


def test_a_healthy_recording_gives_an_episode_of_each_injected_kind(tmp_path: Path) -> None:
    healthy = labelled_episode(a_recording(tmp_path / "r.csv"), SERIES, [], 400)

    episodes = list(injected_episodes(healthy, seed=1))

    assert len(episodes) == len(KINDS)
    for episode in episodes:
        assert episode.labels.sum() == LASTS_S
        assert not episode.labels[:400].any()
        np.testing.assert_array_equal(episode.rows[~episode.labels], healthy.rows[: (~episode.labels).sum()])


def test_virtual_pumps_are_healthy_until_their_fault() -> None:
    first, second = pump_episodes(2, 400, seed=1)

    assert "valve-closing" in first.name
    assert "leak" in second.name
    assert np.flatnonzero(first.labels)[0] == 400 + 900 + 1
    assert first.labels[-1]
    assert first.rows.shape[1] == 6


def test_a_last_line_that_a_power_cut_has_torn_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    for torn in ("3;2;31.", "3;", "3"):
        path.write_text(f"uptime_s;pump.flow;pump.head\n1;2;3\n2;2;4\n{torn}")
        assert read_recording(path, SERIES)[0].tolist() == [1, 2]


def test_labels_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(DataError, match=r"not a file of labels: .*; write it anew as csv"):
        read_labels(tmp_path / "labels.csv")
