"""Readings that another program writes: whole files are read, stale ones are not, a wrong line is named."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from edge_agent.collectors.collection import Collection, PartlyRead
from edge_agent.collectors.readings_file import MOST_BYTES, MOST_SERIES, STALE_S, ReadingsFileCollector
from edge_agent.protocol.instant import Instant
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


def test_a_fifo_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pump")

    with pytest.raises(OSError, match="is not a regular file; write a file to another name, and rename it"):
        ReadingsFileCollector("pump", tmp_path / "pump").collect(an_instant())


@pytest.mark.parametrize("path", ["/dev/zero", "/tmp"])
def test_a_device_and_a_folder_are_refused_and_leave_no_descriptor_open(path: str) -> None:
    collector = ReadingsFileCollector("pump", Path(path))
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(3):
        with pytest.raises(OSError, match="is not a regular file"):
            collector.collect(an_instant())

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def dated(path: Path, ahead_s: float) -> None:
    at = time.time() + ahead_s
    os.utime(path, (at, at))


def test_a_file_of_the_future_is_read_while_it_changes_and_stale_when_it_does_not(tmp_path: Path) -> None:
    path = tmp_path / "pump"
    collector = a_collector(path, "pump.flow 1\n")
    for second in range(30):
        dated(path, 3600.0 + second)
        assert collector.collect(an_instant(second)) == {"pump.flow": 1.0}
    assert collector.collect(an_instant(29 + STALE_S)) == {"pump.flow": 1.0}

    with pytest.raises(OSError, match=r"has not changed for 11 s, and its time is 3\d+ s in the future; .* the clock"):
        collector.collect(an_instant(30 + STALE_S))


def test_a_file_that_is_too_long_loses_the_line_that_is_cut(tmp_path: Path) -> None:
    filling = "pump.flow 31.5\n" + " " * (MOST_BYTES - 29)
    collector = a_collector(tmp_path / "pump", f"{filling}\npump.head 12345\n")
    assert (tmp_path / "pump").read_text()[:MOST_BYTES].endswith("\npump.head 123")

    with pytest.raises(PartlyRead) as read:
        collector.collect(an_instant())

    assert read.value.values == {"pump.flow": 31.5}
    assert read.value.reasons == {"size": "longer than 64 KiB; the rest is not read"}


def test_series_beyond_the_most_are_not_read_and_that_is_one_reason(tmp_path: Path) -> None:
    text = "".join(f"pump.channel_{number} {number}\n\n" for number in range(2000))

    with pytest.raises(PartlyRead) as read:
        a_collector(tmp_path / "pump", text).collect(an_instant())

    assert len(read.value.values) == MOST_SERIES
    assert read.value.reasons == {"lines": "2000 lines; only the first 64 are read, write no other series"}


@pytest.mark.parametrize("series", ["system.uptime", "forewarn.agent.sent", "systemd.unit.state{a=b}"])
def test_names_of_the_agents_own_series_are_refused(tmp_path: Path, series: str) -> None:
    with pytest.raises(PartlyRead, match="has a name of the agent's own series"):
        a_collector(tmp_path / "pump", f"{series} 1\n").collect(an_instant())


class OneReading:
    """A collector of the agent's own with one reading."""

    name = "host"

    def collect(self, _now: Instant) -> Mapping[str, float]:
        return {"hw.fan.speed{hw.name=case}": 900.0}


def test_what_the_agent_reads_itself_is_never_replaced(tmp_path: Path) -> None:
    readings = a_collector(tmp_path / "pump", "hw.fan.speed{hw.name=case} 0\npump.flow 31.5\n")
    collection = Collection((OneReading(),), external=(readings,))

    values = collection.sample(an_instant()).values

    assert values["hw.fan.speed{hw.name=case}"] == 900.0
    assert values["pump.flow"] == 31.5
    reason = "hw.fan.speed{hw.name=case}: read by another collector already; use another name in the file"
    assert collection.failing == {"machine pump.series": reason}
