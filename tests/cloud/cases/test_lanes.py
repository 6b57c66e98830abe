"""Each case opens in one of three lanes, with the reason."""

import pytest

from cloud.cases.cases import in_lane, opened, recompute_severity
from cloud.cases.lanes import History, Lane, choose_lane
from edge_agent.protocol.faults import FAULTS, DetectorKind, Severity
from tests.builders import DEVICE, NOON
from tests.cloud.cases.test_cases import an_episode

NOTHING = History()


def test_what_is_urgent_needs_action_now_whatever_its_history() -> None:
    lane, reason = choose_lane("wifi.weak", Severity.CRITICAL, DetectorKind.RULE, History(recovered=9))
    assert (lane, reason) == (Lane.ACT_NOW, "Severity critical: act before the customer notices.")


def test_an_estimate_needs_a_persons_judgement() -> None:
    lane, reason = choose_lane("disk.filling", Severity.WARNING, DetectorKind.TREND, NOTHING)
    assert lane is Lane.JUDGEMENT
    assert "estimated by a trend detector" in reason


def test_a_certain_fault_is_known_and_comes_with_its_remedy() -> None:
    lane, reason = choose_lane("sensor.silent", Severity.WARNING, DetectorKind.RULE, NOTHING)
    assert lane is Lane.KNOWN
    assert FAULTS["sensor.silent"].advice[0] in reason


def test_what_recovered_three_times_without_a_fault_is_known_unless_one_was_found() -> None:
    lane, reason = choose_lane("disk.filling", Severity.WARNING, DetectorKind.TREND, History(recovered=3))
    assert lane is Lane.KNOWN
    assert reason.startswith("3 earlier cases of this fault on this device were closed without a fault.")
    confirmed = History(recovered=3, confirmed=1)
    assert choose_lane("disk.filling", Severity.WARNING, DetectorKind.TREND, confirmed)[0] is Lane.JUDGEMENT


def test_an_unknown_fault_of_a_newer_device_needs_judgement() -> None:
    lane, reason = choose_lane("flux.capacitor", Severity.WARNING, "", NOTHING)
    assert lane is Lane.JUDGEMENT
    assert "fault catalogue does not have this fault" in reason


def test_a_case_that_becomes_urgent_moves_to_the_lane_for_it() -> None:
    case, _ = opened(DEVICE, an_episode(), "It lasted.", None, NOON)
    case = in_lane(case, DetectorKind.TREND, NOTHING)
    urgent, _ = recompute_severity(case, [an_episode(Severity.CRITICAL)], NOON)
    assert (case.lane, urgent.lane) == (Lane.JUDGEMENT, Lane.ACT_NOW)
    calm, _ = recompute_severity(urgent, [an_episode(Severity.WARNING)], NOON)
    assert calm.lane is Lane.ACT_NOW


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("severity", list(Severity))
def test_every_fault_has_a_lane_and_a_reason(fault: str, severity: Severity) -> None:
    assert choose_lane(fault, severity, FAULTS[fault].detector, NOTHING)[1].endswith((".", "!", "?", ")"))
