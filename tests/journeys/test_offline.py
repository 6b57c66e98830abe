"""The short version of `python -m tests.offline`: half a day, and a store that is too small for it."""

from pathlib import Path

import pytest

from tests.journeys.conftest import verdict_of

pytestmark = pytest.mark.journey


def test_after_half_a_day_offline_every_finding_is_there_and_what_found_no_room_is_declared(tmp_path: Path) -> None:
    options = ("--days", "0.5", "--profile", "full", "--budget-mib", "1", "--period-s", "2", "--keep", str(tmp_path))
    books = verdict_of("tests.offline", *options)
    assert books["findings"] >= 20
    assert books["evidence"] >= 10
    assert books["telemetry"] >= 720
    assert books["declared_lost"] > 0, "the store was too small, or this tests nothing"
    assert books["evidence_lost"] == books["missing"] == books["duplicates"] == 0
    assert 0.9 < books["largest_mib"] <= books["budget_mib"] == 1
