"""Recordings: chosen series, a line a second, nothing is overwritten."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_agent.machines.series_recording import chosen_series, record

PRESENT = ["pump.flow", "pump.pressure{hw.name=a,side=in}", "system.uptime"]


def test_series_are_named_or_match_a_pattern() -> None:
    assert chosen_series(["system.uptime", "pump.*"], PRESENT) == [PRESENT[2], *PRESENT[:2]]
    assert chosen_series([PRESENT[1], "pump.*"], PRESENT) == [PRESENT[1], PRESENT[0]]


def test_a_pattern_without_a_series_is_named() -> None:
    with pytest.raises(ValueError, match=r"no series matches 'fan.\*'; edge-agent sample lists them"):
        chosen_series(["fan.*"], PRESENT)


def test_a_recording_has_a_line_for_each_sample_and_an_empty_field_for_a_missing_reading(tmp_path: Path) -> None:
    samples: list[tuple[float, Mapping[str, float]] | None] = [
        (1.0, {PRESENT[0]: 3.25, PRESENT[1]: 1.5}), (2.0, {PRESENT[0]: 3.5}), None,
    ]  # fmt: skip
    remaining = iter(samples)

    assert record(tmp_path / "r.csv", PRESENT[:2], lambda: next(remaining)) == 2

    assert (tmp_path / "r.csv").read_text().splitlines() == [
        "uptime_s;pump.flow;pump.pressure{hw.name=a,side=in}",
        "1.000;3.25;1.5",
        "2.000;3.5;",
    ]


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("mine")

    with pytest.raises(FileExistsError):
        record(tmp_path / "r.csv", PRESENT, lambda: None)

    assert (tmp_path / "r.csv").read_text() == "mine"


@pytest.mark.parametrize("series", ["pump;flow", "pump\rflow", 'pump"\nflow'])
def test_a_series_that_would_break_the_columns_is_refused(series: str) -> None:
    with pytest.raises(ValueError, match="can't name a column: rename it"):
        chosen_series(["pump*"], [*PRESENT, series])
