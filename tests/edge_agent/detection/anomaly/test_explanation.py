"""The explanation of an anomaly for support agents."""

import pytest

from edge_agent.detection.anomaly.alarm_rate import Decision
from edge_agent.detection.anomaly.explanation import anomaly_verdict
from edge_agent.detection.anomaly.scorer import Score
from edge_agent.protocol.faults import Severity

IOWAIT = "system.cpu.utilization{cpu.mode=iowait}"
BUSY = "system.disk.io_time{system.device=mmcblk0}"
READ = "system.disk.io{disk.io.direction=read,system.device=mmcblk0}"
HEAT = "hw.temperature{hw.name=cpu_thermal}"
ALARM = Decision(alarm=True, active=True, bar=3.0, reason="1.4 times the alarm threshold of this device")
EXPECTED = {IOWAIT: (-0.02, 0.06), BUSY: (-0.1, 0.3), READ: (0.0, 5 * 2.0**20), HEAT: (-4.0, 12.0)}
VALUES = {IOWAIT: 0.45, BUSY: 0.92, READ: 2.0**20, HEAT: -11.0}


def a_score(**shares: float) -> Score:
    named = {
        {"iowait": IOWAIT, "busy": BUSY, "read": READ, "heat": HEAT}[name]: share for name, share in shares.items()
    }
    return Score(
        value=0.9,
        strength=4.2,
        ready=True,
        shares=named,
        expected={name: EXPECTED[name] for name in named},
        values={name: VALUES[name] for name in named},
    )


def test_the_sentence_names_the_loudest_metrics_with_what_is_usual() -> None:
    verdict = anomaly_verdict(a_score(iowait=0.5, busy=0.3), ALARM, (), Severity.INFO)
    assert verdict is not None
    assert verdict.reason == (
        "CPU use (iowait) is 45 %, usually 0 to 6 %; Disk busy (mmcblk0) is 92 %, usually 0 to 30 %. "
        "Overall: 1.4 times the alarm threshold of this device"
    )
    assert verdict.component == IOWAIT
    assert [(one.value, one.unit, one.expected_low, one.share) for one in verdict.carriers] == [
        (0.45, "1", 0.0, 0.5),
        (0.92, "1", 0.0, 0.3),
    ]


def test_a_value_within_its_range_has_changed_abruptly_and_a_rate_has_its_unit() -> None:
    verdict = anomaly_verdict(a_score(read=0.6), ALARM, (), Severity.INFO)
    assert verdict is not None
    assert verdict.reason.startswith("Disk traffic (read mmcblk0) changed abruptly to 1 MiB/s. ")


def test_the_configuration_decides_whether_an_anomaly_opens_a_case() -> None:
    verdict = anomaly_verdict(a_score(iowait=0.6), ALARM, (), Severity.WARNING)
    assert verdict is not None
    assert verdict.severity is Severity.WARNING


def test_temperatures_may_be_below_zero() -> None:
    verdict = anomaly_verdict(a_score(heat=0.6), ALARM, (), Severity.INFO)
    assert verdict is not None
    assert verdict.reason.startswith("Temperature (cpu_thermal) is -11 °C, usually -4 to 12 °C. ")


@pytest.mark.parametrize(
    ("decision", "explained"),
    [
        (Decision(alarm=False, active=False, bar=3.0, reason=""), ()),
        (ALARM, (IOWAIT,)),
        (ALARM, (IOWAIT, BUSY)),
    ],
)
def test_an_anomaly_that_opens_no_case_or_is_explained_is_not_reported(
    decision: Decision, explained: tuple[str, ...]
) -> None:
    assert anomaly_verdict(a_score(iowait=0.6, busy=0.4), decision, explained, Severity.INFO) is None
