"""Repairs of overlapping faults: each fault is repaired once, in an order that is possible."""

import pytest

from firmware_stubs.processes import SetupError
from tests.chaos.repairs import RepairSchedule


class ManualClock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Disk:
    """A full disk that may be read-only: it can be emptied only while it is writable."""

    def __init__(self) -> None:
        self.read_only, self.log = True, list[str]()

    def empty(self) -> bool:
        self.log.append("read-only" if self.read_only else "emptied")
        return not self.read_only

    def set_writable(self) -> None:
        self.read_only = False
        self.log.append("writable")


def test_a_repair_is_performed_once_it_is_due() -> None:
    clock, done = ManualClock(), list[str]()
    repairs = RepairSchedule(clock)
    repairs.add("network is cut", 2.0, lambda: done.append("restored"))
    repairs.perform_due()
    assert done == []
    clock.now_s = 2.0
    for _ in range(2):
        repairs.perform_due()
    assert done == ["restored"]


@pytest.mark.parametrize("second_s", [1.0, 5.0])
def test_a_fault_injected_again_is_repaired_once_at_the_later_time(second_s: float) -> None:
    clock, done = ManualClock(), list[float]()
    repairs = RepairSchedule(clock)
    for seconds in (3.0, second_s):
        repairs.add("disk is full", seconds, lambda: done.append(clock.now_s))
    for clock.now_s in (1.0, 3.0, 5.0):
        repairs.perform_due()
    assert done == [max(3.0, second_s)]


def test_a_full_disk_is_emptied_after_it_is_writable_again() -> None:
    clock, disk = ManualClock(), Disk()
    repairs = RepairSchedule(clock)
    repairs.add("disk is full", 1.0, disk.empty)
    repairs.add("disk is read-only", 2.0, disk.set_writable)
    for clock.now_s in (1.0, 2.0, 3.0):
        repairs.perform_due()
    assert disk.log == ["read-only", "read-only", "writable", "emptied"]


def test_at_the_end_everything_is_repaired_in_an_order_that_is_possible() -> None:
    disk = Disk()
    repairs = RepairSchedule(ManualClock())
    repairs.add("disk is full", 60.0, disk.empty)
    repairs.add("disk is read-only", 60.0, disk.set_writable)
    repairs.perform_all()
    assert disk.log == ["read-only", "writable", "emptied"]


def test_a_repair_that_fails_stops_no_other_and_is_named() -> None:
    def broken() -> None:
        raise OSError("device is busy")

    done: list[str] = []
    repairs = RepairSchedule(ManualClock())
    repairs.add("disk is read-only", 0.0, broken)
    repairs.add("network is cut", 0.0, lambda: done.append("restored"))
    with pytest.raises(SetupError, match="disk is read-only: device is busy"):
        repairs.perform_all()
    assert done == ["restored"]
