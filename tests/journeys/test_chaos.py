"""A short chaos in every run of the tests; `make chaos` is the long one."""

from pathlib import Path

import pytest

from tests.journeys.conftest import verdict_of

# The smoke run monitors this machine too, and would report the disks that the chaos run fills.
pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("disks of this machine")]


def test_every_record_is_accounted_for_after_ten_seconds_of_faults(tmp_path: Path) -> None:
    options = ("--seconds", "10", "--seed", "3", "--keep", str(tmp_path), "--databases", "sqlite")
    counts = verdict_of("tests.chaos", *options)
    assert counts["kills"] >= 2
    assert counts["stored"] >= 20
    assert counts["missing"] == counts["duplicates"] == 0
