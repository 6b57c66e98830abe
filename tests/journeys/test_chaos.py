"""A short chaos in every run of the tests; `make chaos` is the long one."""

from pathlib import Path

import pytest

from tests.journeys.conftest import verdict_of

pytestmark = pytest.mark.journey


def test_after_ten_seconds_of_kills_every_record_is_accounted_for(tmp_path: Path) -> None:
    options = ("--seconds", "10", "--seed", "3", "--keep", str(tmp_path), "--databases", "sqlite")
    books = verdict_of("tests.chaos", *options)
    assert books["kills"] >= 2
    assert books["stored"] >= 20
    assert books["missing"] == books["duplicates"] == 0
