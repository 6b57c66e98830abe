"""A device's disk on a real tmpfs: full and read-only at the same time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.disk import DeviceDisk, mounted_disk

pytestmark = pytest.mark.xdist_group("disks of this machine")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DeviceDisk]:
    """A small file system; mounting one needs root."""
    with mounted_disk(tmp_path / "device") as mounted:
        if not mounted.available:
            pytest.skip("mounting is not allowed here")
        yield mounted


def write(disk: DeviceDisk) -> None:
    (disk.folder / "record").write_bytes(bytes(100_000))


def test_a_full_disk_takes_no_record_until_it_is_emptied(disk: DeviceDisk) -> None:
    assert disk.fill()
    with pytest.raises(OSError, match="No space left"):
        write(disk)
    assert disk.empty()
    write(disk)


def test_a_full_disk_that_is_read_only_is_emptied_once_it_is_writable(disk: DeviceDisk) -> None:
    assert disk.fill()
    assert disk.set_read_only()
    assert not disk.empty()
    assert not disk.fill()
    assert disk.set_writable()
    assert disk.empty()
    write(disk)


def test_a_fault_injected_twice_is_repaired_by_one_repair(disk: DeviceDisk) -> None:
    assert disk.set_read_only()
    assert disk.set_read_only()
    assert disk.set_writable()
    assert disk.set_writable()
    write(disk)


def test_a_disk_with_an_open_file_can_not_be_made_read_only(disk: DeviceDisk) -> None:
    with (disk.folder / "record").open("wb"):
        assert not disk.set_read_only()
    write(disk)


def test_without_a_mount_there_is_no_disk_for_faults(tmp_path: Path) -> None:
    assert not DeviceDisk(tmp_path).available
