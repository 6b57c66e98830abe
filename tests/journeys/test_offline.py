"""The short version of `python -m tests.offline`: half a day, and a store that is too small for it."""

from pathlib import Path

import pytest

from tests.journeys.conftest import verdict_of

pytestmark = pytest.mark.journey


def test_after_half_a_day_offline_no_finding_is_lost_and_dropped_telemetry_is_declared(tmp_path: Path) -> None:
    options = ("--days", "0.5", "--profile", "full", "--budget-mib", "1", "--period-s", "2", "--keep", str(tmp_path))
    result = verdict_of("tests.offline", *options)
    assert result["findings"] >= 20
    assert result["evidence"] >= 10
    assert result["telemetry"] >= 720
    assert result["declared_lost"] > 0, "the store was too small, otherwise the test has no effect"
    assert result["evidence_lost"] == result["missing"] == result["duplicates"] == 0
    assert 0.9 < result["largest_mib"] <= result["budget_mib"] == 1
