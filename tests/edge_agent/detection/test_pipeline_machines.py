"""The pipeline with a machine: its finding opens, names it, and continues over a restart; remarks reach the caller."""

import json

from edge_agent.detection import Pipeline
from edge_agent.detection.machine import Machines
from edge_agent.protocol.faults import FAULTS
from edge_agent.protocol.records import Finding, Phase
from edge_agent.sample import Sample
from tests.builders import an_instant
from tests.edge_agent.detection.machine.pumps import START_S, a_machine, healthy_rows, readings


def a_pipeline() -> Pipeline:
    return Pipeline(period_s=1.0, horizon_s=3600.0, scorer=None, machines=Machines([a_machine()]))


def run(
    pipeline: Pipeline, first_s: int, seconds: int, drop: float = 0.0, period_s: int = 1
) -> tuple[list[Finding], list[str]]:
    findings: list[Finding] = []
    remarks: list[str] = []
    rows = healthy_rows(seconds, seed=first_s)
    rows[:, 0] -= drop
    for second, row in enumerate(rows):
        now = an_instant(first_s + period_s * second)
        outcome = pipeline.step(Sample(at=now, values=readings(row)), now)
        findings += [announcement.finding for announcement in outcome.announcements]
        remarks += outcome.remarks
    return findings, remarks


def test_a_fault_opens_a_finding_that_names_the_machine() -> None:
    pipeline = a_pipeline()
    assert run(pipeline, 0, START_S) == ([], ["machine feed pump: learned in 7 min, 100% sure that it was healthy"])

    ((opened,), _) = run(pipeline, START_S, 90, drop=1.5)

    assert (opened.fault, opened.component, opened.phase) == ("machine.anomaly", "feed pump", Phase.OPEN)
    assert opened.severity is FAULTS["machine.anomaly"].severity
    assert opened.detector.version == "machine-1"
    assert opened.carriers[0].metric == "pump.flow"


def test_a_recovered_machine_clears_it() -> None:
    pipeline = a_pipeline()
    run(pipeline, 0, START_S)
    run(pipeline, START_S, 90, drop=1.5)

    ((cleared,), _) = run(pipeline, START_S + 90, 180)

    assert cleared.phase is Phase.CLEAR


def test_learned_state_and_an_open_finding_outlive_a_restart() -> None:
    pipeline = a_pipeline()
    run(pipeline, 0, START_S)
    ((opened,), _) = run(pipeline, START_S, 90, drop=1.5)

    other = a_pipeline()
    assert other.restore_state(json.loads(json.dumps(pipeline.export_state()))) == []
    other.resume([opened], an_instant(START_S + 90))

    assert run(other, START_S + 100, 90, drop=1.5) == ([], [])
    ((cleared,), _) = run(other, START_S + 190, 1200)
    assert (cleared.finding_id, cleared.phase) == (opened.finding_id, Phase.CLEAR)


def test_a_machine_whose_state_is_unusable_learns_anew_and_the_reason_is_returned() -> None:
    reasons = a_pipeline().restore_state({"machines": {"feed pump": {"version": 0}}})

    assert reasons == ["machine feed pump: state is of another version; it learns anew"]


def test_a_reset_is_reported() -> None:
    pipeline = a_pipeline()
    run(pipeline, 0, START_S)

    assert pipeline.reset_machine("feed pump")
    assert not pipeline.reset_machine("fan")
    assert run(pipeline, START_S, 1)[1] == ["machine feed pump: reset; learning for 7 min"]


def silence(pipeline: Pipeline, first_s: int, seconds: int) -> list[Finding]:
    """Feed samples without any channel of the machine."""
    findings: list[Finding] = []
    for second in range(first_s, first_s + seconds):
        now = an_instant(second)
        outcome = pipeline.step(Sample(at=now, values={"system.uptime": float(second)}), now)
        findings += [announcement.finding for announcement in outcome.announcements]
    return findings


def test_an_outage_of_the_channels_neither_clears_nor_reopens_a_finding() -> None:
    pipeline = a_pipeline()
    run(pipeline, 0, START_S)
    run(pipeline, START_S, 90, drop=1.5)

    assert silence(pipeline, START_S + 90, 120) == []
    assert run(pipeline, START_S + 210, 400, drop=1.5)[0] == []


def test_a_finding_at_another_rate_is_updated_with_the_reason_and_over_a_restart_only_once() -> None:
    pipeline = a_pipeline()
    run(pipeline, 0, START_S)
    run(pipeline, START_S, 90, drop=1.5)
    slow = 490, 30

    ((updated,), _) = run(pipeline, *slow, drop=1.5, period_s=10)

    assert updated.phase is Phase.UPDATE
    assert updated.reason.endswith(". Not evaluated now: readings come every 10.0 s, not every second")
    other = a_pipeline()
    other.restore_state(json.loads(json.dumps(pipeline.export_state())))
    other.resume([updated], an_instant(800))
    assert run(other, 800, 30, drop=1.5, period_s=10)[0] == []
    ((again,), _) = run(other, 1110, 200, drop=1.5)
    assert again.phase is Phase.UPDATE
    assert "Not evaluated" not in again.reason
