"""Detector state: saved at an interval, restored where it can be used."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from edge_agent.outbox import Outbox
from edge_agent.outbox.detector_state import LEARNED_STATE, MOST_AT_ONCE, RETRY_S, SAVE_EVERY_S, DetectorState
from edge_agent.protocol import records
from edge_agent.protocol.instant import Instant
from tests.builders import a_finding, an_id, an_instant


class FakeDetectors:
    """Counts what it has learned, and keeps what it is given."""

    def __init__(self) -> None:
        self.learned = 0
        self.resumed: list[records.Finding] = []
        self.must_save = False

    def mark_saved(self) -> None:
        self.must_save = False

    def export_state(self) -> dict[str, object]:
        return {"learned": self.learned}

    def restore_state(self, state: Mapping[str, object]) -> list[str]:
        self.learned = int(str(state["learned"]))
        return []

    def resume(self, findings: Iterable[records.Finding], _now: Instant) -> None:
        self.resumed += findings


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.db")


def test_learned_state_is_saved_once_an_interval_and_restored(outbox: Outbox) -> None:
    before, after = FakeDetectors(), FakeDetectors()
    state = DetectorState(before, now_s=100.0)
    for before.learned, now_s in enumerate((100.0, 99.0 + SAVE_EVERY_S, 100.0 + SAVE_EVERY_S, 101.0 + SAVE_EVERY_S)):
        state.save_if_due(outbox, now_s)
    DetectorState(after, now_s=0.0).resume(outbox, an_instant())
    assert after.learned == 2
    outbox.close()


def stored(outbox: Outbox) -> bytes | None:
    return outbox.learned_state(LEARNED_STATE)


def test_what_must_be_saved_is_saved_at_once_and_only_then(outbox: Outbox) -> None:
    detectors = FakeDetectors()
    state = DetectorState(detectors, now_s=0.0)
    state.save_if_due(outbox, 1.0)
    assert stored(outbox) is None
    detectors.must_save = True
    state.save_if_due(outbox, 2.0)
    assert stored(outbox) == b'{"learned": 0}'
    detectors.learned = 7
    state.save_if_due(outbox, 3.0)
    assert stored(outbox) == b'{"learned": 0}'
    outbox.close()


def test_saves_at_once_are_bounded_and_the_rest_waits_for_the_interval(outbox: Outbox) -> None:
    detectors, saves = FakeDetectors(), 0
    state = DetectorState(detectors, now_s=0.0)
    for now_s in range(5, 86_400, 5):
        detectors.must_save = True
        state.save_if_due(outbox, float(now_s))
        saves += not detectors.must_save
    assert saves <= 4 * (MOST_AT_ONCE + 1)
    outbox.close()


def test_a_save_that_fails_is_tried_again_within_a_minute_not_after_the_interval(outbox: Outbox) -> None:
    detectors = FakeDetectors()
    state = DetectorState(detectors, now_s=0.0)
    detectors.must_save = True
    outbox._store.db.execute("PRAGMA query_only = 1")
    with pytest.raises(sqlite3.DatabaseError):
        state.save_if_due(outbox, 1.0)
    state.save_if_due(outbox, 2.0)
    outbox._store.db.execute("PRAGMA query_only = 0")
    state.save_if_due(outbox, 1.0 + RETRY_S)
    assert stored(outbox) == b'{"learned": 0}'
    outbox.close()


def test_a_new_store_gets_what_was_learned_at_once(outbox: Outbox) -> None:
    state = DetectorState(FakeDetectors(), now_s=0.0)
    state.start_new_store()
    state.save_if_due(outbox, 1.0)
    assert stored(outbox) == b'{"learned": 0}'
    outbox.close()


@pytest.mark.parametrize("body", [b"not json", b"[1, 2]"])
def test_learned_state_that_is_no_mapping_is_discarded_and_logged(
    outbox: Outbox, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.save_learned_state(LEARNED_STATE, body)
    DetectorState(FakeDetectors(), now_s=0.0).resume(outbox, an_instant())
    assert "learned state that can't be used is discarded" in caplog.text
    outbox.close()


def test_open_findings_are_resumed_and_those_of_another_version_cleared(outbox: Outbox) -> None:
    known, unknown = a_finding(finding_id=an_id(1)), a_finding(finding_id=an_id(2), fault="tea.cold")
    outbox.put([], {one.finding_id: records.encode(one) for one in (known, unknown)})
    detectors = FakeDetectors()
    DetectorState(detectors, now_s=0.0).resume(outbox, an_instant())
    assert detectors.resumed == [known]
    assert list(outbox.open_findings()) == [known.finding_id]
    outbox.close()
