"""The short version of `python -m tests.fuzz`: the cloud accepts or counts every message, and keeps running."""

from pathlib import Path

import pytest

from tests.fuzz import fuzz

pytestmark = pytest.mark.journey


def test_two_thousand_bad_messages_do_not_stop_the_cloud_and_are_all_accounted_for(tmp_path: Path) -> None:
    verdict = fuzz(tmp_path, 2000, seed=7)
    assert verdict.good, verdict
    assert verdict.dead_lettered > 1000
