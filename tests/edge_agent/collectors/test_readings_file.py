"""Readings that another program writes: whole files are read, stale ones are not, a wrong line is named."""

import os
import time
from pathlib import Path

import pytest

from edge_agent.collectors.collection import PartlyRead
from edge_agent.collectors.readings_file import STALE_S, ReadingsFileCollector
from tests.builders import an_instant


def a_collector(path: Path, text: str) -> ReadingsFileCollector:
    path.write_text(text)
    return ReadingsFileCollector("pump", path)


def test_each_line_is_a_reading(tmp_path: Path) -> None:
    collector = a_collector(tmp_path / "pump", "pump.flow 31.5\nforewarn.machine.flow{hw.name=Feed pump} 2\n\n")

    assert collector.collect(an_instant()) == {"pump.flow": 31.5, "forewarn.machine.flow{hw.name=Feed pump}": 2.0}


def test_a_line_that_is_no_reading_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    with pytest.raises(PartlyRead) as read:
        a_collector(tmp_path / "pump", "pump.flow fast\npump.head 2\n").collect(an_instant())

    assert read.value.values == {"pump.head": 2.0}
    assert read.value.reasons == {"line 1": "'pump.flow fast' is not SERIES VALUE"}


def test_a_file_that_is_no_longer_written_is_an_error_that_says_how_old_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pump"
    collector = a_collector(path, "pump.flow 1\n")
    old = time.time() - STALE_S - 20
    os.utime(path, (old, old))

    with pytest.raises(OSError, match=r"was last written .* s ago; start the program that writes it"):
        collector.collect(an_instant())


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ReadingsFileCollector("pump", tmp_path / "none").collect(an_instant())
