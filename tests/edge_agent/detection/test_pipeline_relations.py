"""Relations within the pipeline: one fault is published once, also over restarts, with the configured severity."""

import json
import math
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from edge_agent.artifacts.fleet import load_fleet, shipped
from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly import Scorer
from edge_agent.detection.findings import RESUMED_CLEAR_AFTER_S
from edge_agent.detection.relations import Relations
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Finding, Phase
from edge_agent.sample import Sample
from tests.builders import an_instant

FLEET = load_fleet(shipped())
BEGINS, ENDS = 600, 900  # minutes
CPU = "system.cpu.utilization{cpu.mode=user}"
CORES = tuple(f"hw.temperature{{hw.name=coretemp/Core {number}}}" for number in (0, 1))
CAPPED = "forewarn.cpu.throttled{forewarn.cause=heat}"


def a_pipeline(anomalies: Severity = Severity.INFO) -> Pipeline:
    return Pipeline(period_s=60.0, horizon_s=3600.0, scorer=Scorer(), relations=Relations(FLEET), anomalies=anomalies)


def devices(begin: int, end: int, hotter: float = 15.0, firmware_caps: Iterable[int] = ()) -> Iterator[Sample]:
    """Minutes of a device with two sensors, too hot from BEGINS to ENDS."""
    for minute in range(begin, end):
        rng = np.random.default_rng(minute)
        cpu = 0.2 + 0.15 * math.sin(minute / 17)
        heat = 40 + 25 * cpu + hotter * (BEGINS <= minute < ENDS)
        cores = {core: heat + rng.normal(0, 0.5) for core in CORES}
        values = {CPU: cpu, CAPPED: float(minute in firmware_caps)} | cores
        yield Sample(at=an_instant(60.0 * minute), values=values)


def reported(pipeline: Pipeline, samples: Iterable[Sample], fault: str = "thermal.cooling") -> list[Finding]:
    found = [one.finding for sample in samples for one in pipeline.step(sample, sample.at).announcements]
    return [finding for finding in found if finding.fault == fault]


def test_lasting_heat_is_one_finding_whichever_sensor_is_warmer() -> None:
    phases = [one.phase for one in reported(a_pipeline(), devices(0, ENDS + 120))]
    assert [phase for phase in phases if phase is not Phase.UPDATE] == [Phase.OPEN, Phase.CLEAR]


@pytest.mark.parametrize("severity", [Severity.INFO, Severity.WARNING])
def test_cooling_findings_have_the_severity_of_anomalies(severity: Severity) -> None:
    (opened,) = reported(a_pipeline(severity), devices(0, BEGINS + 60))
    assert opened.severity is severity


@pytest.mark.parametrize("restart_at", [BEGINS + 40, BEGINS + 200])
def test_a_fault_that_is_open_over_a_restart_is_published_once_and_cleared_when_it_ends(restart_at: int) -> None:
    before, after = a_pipeline(), a_pipeline()
    (opened,) = reported(before, devices(0, restart_at))
    assert after.restore_state(json.loads(json.dumps(before.export_state()))) == []
    after.resume([opened], an_instant(60.0 * restart_at))
    assert reported(after, devices(restart_at, ENDS)) == []
    (cleared,) = reported(after, devices(ENDS, ENDS + 120))
    assert (cleared.phase, cleared.finding_id) == (Phase.CLEAR, opened.finding_id)


def test_an_open_finding_is_cleared_when_its_detector_is_disabled() -> None:
    (opened,) = reported(a_pipeline(), devices(0, BEGINS + 60))
    off = Pipeline(period_s=60.0, horizon_s=3600.0, scorer=None)
    off.resume([opened], an_instant(60.0 * (BEGINS + 60)))
    assert [one.phase for one in reported(off, devices(BEGINS + 60, BEGINS + 120))] == [Phase.CLEAR]


def test_a_thermal_rule_takes_over_from_the_cooling_relation() -> None:
    pipeline = a_pipeline()
    assert [one.phase for one in reported(pipeline, devices(0, BEGINS + 60))] == [Phase.OPEN]
    hot = [
        outcome.finding
        for sample in devices(BEGINS + 60, ENDS, hotter=45.0)
        for outcome in pipeline.step(sample, sample.at).announcements
    ]
    assert {one.fault for one in hot if one.phase is Phase.OPEN} >= {"thermal.throttling"}
    assert [one.phase for one in hot if one.fault == "thermal.cooling"] == [Phase.CLEAR]


def test_heat_that_firmware_reports_is_one_finding() -> None:
    pipeline = a_pipeline()
    samples = devices(0, ENDS, firmware_caps=range(BEGINS - 5, ENDS))
    found = [one.finding for sample in samples for one in pipeline.step(sample, sample.at).announcements]
    assert "thermal.throttled" in {one.fault for one in found}
    assert "thermal.cooling" not in {one.fault for one in found}


def bursts(begin: int, end: int) -> Iterator[Sample]:
    """Minutes of three loads that scatter, and rise together from BEGINS to ENDS."""
    for minute in range(begin, end):
        height = 100.0 if BEGINS <= minute < ENDS else 5.0
        loads = height + np.random.default_rng(minute).normal(size=3)
        names = (f"system.cpu.load_average.{span}m" for span in (1, 5, 15))
        yield Sample(at=an_instant(60.0 * minute), values=dict(zip(names, loads.tolist(), strict=True)))


def test_an_anomaly_continues_over_a_restart_and_is_cleared_when_it_ends() -> None:
    before, after, restart_at = a_pipeline(), a_pipeline(), BEGINS + 6
    (opened,) = [one for one in reported(before, bursts(0, restart_at), "anomaly.unknown") if one.phase is Phase.OPEN]
    assert after.restore_state(json.loads(json.dumps(before.export_state()))) == []
    elsewhere = opened.model_copy(
        update={"component": "system.cpu.load_average.9m"}
    )  # the largest contribution changes
    after.resume([elsewhere], an_instant(60.0 * restart_at))
    (cleared,) = reported(after, bursts(restart_at, ENDS + 60), "anomaly.unknown")
    assert (
        cleared.at.uptime_s > an_instant(60.0 * restart_at).uptime_s + RESUMED_CLEAR_AFTER_S
    )  # it was evaluated again
    assert (cleared.phase, cleared.finding_id) == (Phase.CLEAR, opened.finding_id)
