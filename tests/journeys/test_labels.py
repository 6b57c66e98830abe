"""A case closed as expected does not come back: from the label over the broker to the detection of the device."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from firmware_stubs.clock import UP_S, VirtualClock
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import DiskFilling
from firmware_stubs.processes import running_cloud
from tests.journeys.conftest import cases_of, eventually

pytestmark = pytest.mark.journey

SPEED = 20.0
COPYING = DiskFilling(start_s=UP_S + 30, lasts_s=600, stops_at=0.85)  # as a nightly copy does
STOPPED_S = COPYING.start_s + COPYING.stops_at * COPYING.lasts_s


@contextmanager
def copying(name: str, mqtt_port: int, state_dir: Path) -> Iterator[VirtualDevice]:
    """Run a device that copies once, with nothing learned before."""
    state_dir.mkdir()
    device = VirtualDevice(name, VirtualClock(SPEED), (COPYING,), ("127.0.0.1", mqtt_port), state_dir)
    device.start()
    try:
        yield device
        assert device.error is None
    finally:
        device.stop()


def reported(database: Path, device: str) -> list[tuple[str, str]]:
    """Return severity and reason of what a device has reported of its disk."""
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT severity, sentence FROM episode WHERE device = ? AND fault = 'disk.filling' ORDER BY id"
        return connection.execute(query, (device,)).fetchall()


def test_closed_as_expected_the_same_again_is_a_note_on_this_device_and_a_case_on_another(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text("[rules]\nhold_down_s = 1.0\n")  # the second time must be an episode of its own
    options = ("--mqtt", f"127.0.0.1:{ports[1]}", "--config", str(config))
    with running_cloud(tmp_path, *ports, *options) as (console, _):
        with copying("pump-07", ports[1], tmp_path / "first") as device:
            (case,) = eventually(lambda: cases_of(console, "pump-07"), "the case", 60)
            eventually(lambda: device.clock.now().uptime_s > STOPPED_S, "the end of the copy", 60)
            eventually(lambda: console.case(case["number"])["state"] == "pending_close", "the end of the fault", 60)
            closed = console.close(case["number"], "expected", cause="planned_work", noticed="no", note="nightly copy")
            assert closed["label"] == "expected"
            assert [one["fault"] for one in console.evidence(case["number"]) if one["sha256"]] == ["disk.filling"]
            assert any("opens no case for it until" in entry["text"] for entry in closed["timeline"])
        (database,) = (tmp_path / "cloud").glob("*.db")
        before = len(reported(database, "pump-07"))
        # The device has lost all it learned: what it knows now, it has from the retained message.
        with copying("pump-07", ports[1], tmp_path / "again") as device:
            eventually(lambda: device.clock.now().uptime_s > STOPPED_S, "the end of the copy", 60)
            eventually(lambda: reported(database, "pump-07")[before:], "the note", 60)
        with copying("pump-08", ports[1], tmp_path / "other"):
            (other,) = eventually(lambda: cases_of(console, "pump-08"), "the case of the other device", 90)
        severity, reason = reported(database, "pump-07")[-1]
        assert severity == "info"
        assert reason.endswith("; closed as expected before on this device")
        assert other["faults"] == ["disk.filling"]
        assert len(cases_of(console, "pump-07")) == 1
        assert cases_of(console, "pump-07")[0]["label"] == "expected"
