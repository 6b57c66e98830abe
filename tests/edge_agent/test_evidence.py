"""Evidence: readings before and after a finding, at full rate."""

from edge_agent.detection.findings import Announcement
from edge_agent.detection.trends import Trends
from edge_agent.detection.verdicts import Basis
from edge_agent.evidence import EvidenceRecorder, Ring
from edge_agent.protocol.records import EvidencePart, Phase
from tests.builders import a_finding, an_id, an_instant

METRIC = "system.linux.memory.available"


def a_recorder(rows: int = 600) -> EvidenceRecorder:
    return EvidenceRecorder(Ring(rows), after_s=10.0)


def an_announcement(phase: Phase = Phase.OPEN, after_s: float = 100.0) -> Announcement:
    finding = a_finding(phase, after_s, fault="memory.leak", evidence_id=an_id(9))
    return Announcement(finding=finding, basis=Basis(evaluated=(METRIC,)))


def fill(recorder: EvidenceRecorder, start: int, stop: int) -> None:
    for t in range(start, stop):
        values = {METRIC: float(t), "system.cpu.load_average.1m": 0.5, "system.uptime": float(t)}
        recorder.ring.add(an_instant(t).uptime_s, values)


def test_the_first_half_holds_what_was_before_and_the_second_what_followed() -> None:
    recorder = a_recorder()
    fill(recorder, 0, 101)
    (before,) = recorder.freeze(an_announcement(), an_instant(100))
    fill(recorder, 101, 111)
    (after,) = recorder.due(an_instant(110))
    assert (before.part, after.part) == (EvidencePart.BEFORE, EvidencePart.AFTER)
    assert before.series[0].values == tuple(float(t) for t in range(101))
    assert after.series[0].values == tuple(float(t) for t in range(101, 111))
    assert [series.role for series in before.series] == ["judged", "context"]
    assert before.digest() == before.sha256
    assert recorder.due(an_instant(200)) == [], "the second half is sent once"


def test_only_an_opening_freezes_a_pack() -> None:
    recorder = a_recorder()
    fill(recorder, 0, 10)
    assert recorder.freeze(an_announcement(Phase.UPDATE), an_instant(10)) == []
    assert recorder.freeze(an_announcement(Phase.CLEAR), an_instant(10)) == []


def test_the_ring_drops_the_oldest_samples_and_series_that_ended() -> None:
    ring = Ring(10)
    for t in range(10):
        ring.add(float(t), {"old": 1.0, "kept": float(t)})
    for t in range(10, 30):
        ring.add(float(t), {"kept": float(t)})
    assert list(ring.names()) == ["kept"]
    times, values = ring.since("kept", 24.0)
    assert times.tolist() == values.tolist() == [25.0, 26.0, 27.0, 28.0, 29.0]


def test_a_slow_trend_shows_the_points_it_was_read_from_although_they_are_older_than_the_ring() -> None:
    recorder, trends = a_recorder(rows=60), Trends(period_s=1.0, horizon_s=72 * 3600)
    verdicts = []
    for t in range(2000):
        values = {METRIC: 1e9 - t * 4e5}
        recorder.ring.add(an_instant(t).uptime_s, values)
        verdicts = trends.step(values, an_instant(t))
        if verdicts:
            break
    announcement = Announcement(
        finding=a_finding(fault="memory.leak", after_s=t, evidence_id=an_id(9)), basis=verdicts[0].basis
    )
    (pack,) = recorder.freeze(announcement, an_instant(t))
    times = pack.series[0].uptime_s
    assert times[-1] - times[0] > 400
    assert list(times) == sorted(times)
