"""Replay: a scenario passes through the device's pipeline, and its cases are compared with its truth."""

from dataclasses import replace

import pytest

from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Phase
from models.scenarios.figures import of_faults, of_lookalikes, outcome
from models.scenarios.replay import Case, announcements, device, replay
from models.scenarios.scenario import Rise
from models.scenarios.tables import tables
from models.scenarios.timeline import HOUR_S, Reboot
from tests.models.scenarios.scenarios import a_full_disk, a_scenario, filling


def a_case(opened_s: float, *, fault: str = "disk.filling", component: str = "/") -> Case:
    """A case of a file system that fills."""
    return Case(
        opened_s=opened_s,
        fault=fault,
        component=component,
        severity=Severity.WARNING,
        confidence=0.9,
        reason="1 GiB left",
        likely_s=HOUR_S,
    )


def test_a_steady_fill_opens_one_case_before_the_impact() -> None:
    (case,) = replay(a_full_disk(), device())
    assert (case.fault, case.component) == ("disk.filling", "/")
    assert 2 * HOUR_S < case.opened_s < 5 * HOUR_S


def test_nothing_after_the_last_impact_is_replayed() -> None:
    assert max(published.at_s for published in announcements(a_full_disk(), device())) <= 5 * HOUR_S


def test_a_finding_that_was_open_is_resumed_after_a_reboot() -> None:
    scenario = a_scenario(filling(), reboots=(Reboot(begin_s=4.2 * HOUR_S, end_s=4.25 * HOUR_S),))
    published = list(announcements(scenario, device()))
    after = next(each for each in published if each.at_s > 4.25 * HOUR_S)
    assert after.finding.phase is not Phase.OPEN
    assert after.finding.finding_id == published[0].finding.finding_id


def test_the_lead_is_a_share_of_onset_to_impact() -> None:
    scenario = a_full_disk()
    got = outcome(scenario, [a_case(3 * HOUR_S)])
    assert list(got.leads) == [pytest.approx(2 / 3)]
    assert got.false == 0


def test_a_case_of_another_fault_or_before_the_onset_is_false() -> None:
    got = outcome(a_full_disk(), [a_case(3 * HOUR_S, component="/var"), a_case(HOUR_S)])
    assert got.leads == (None,)
    assert got.false == 2


def test_a_case_after_the_impact_is_late_but_not_false() -> None:
    got = outcome(a_full_disk(), [a_case(5.5 * HOUR_S)])
    assert got.leads == (None,)
    assert got.false == 0


def test_a_killed_program_is_a_consequence_of_used_up_memory() -> None:
    scenario = a_full_disk()
    leak = replace(scenario.impacts[0], fault="memory.leak", component="memory")
    cases = [a_case(at_h * HOUR_S, fault="oom.kill", component="memory") for at_h in (4, 5)]
    assert outcome(replace(scenario, impacts=(leak,)), cases[1:]).false == 0
    assert outcome(replace(scenario, impacts=(leak,)), cases[:1]).false == 1
    assert outcome(scenario, cases).false == 2


def test_a_case_of_a_hidden_fault_before_its_onset_leads_by_all() -> None:
    scenario = a_full_disk()
    hidden = replace(scenario.impacts[0], began_s=HOUR_S)
    got = outcome(replace(scenario, impacts=(hidden,)), [a_case(1.5 * HOUR_S)])
    assert got.leads == (1.0,)


def test_a_case_belongs_to_the_rise_during_or_after_which_it_opens() -> None:
    rises = tuple(
        Rise(begin_s=begin * HOUR_S, end_s=(begin + 1) * HOUR_S, until_s=(begin + 2) * HOUR_S) for begin in (1, 5)
    )
    scenario = a_scenario(filling(lowest=3.0), rises=rises)
    assert outcome(scenario, [a_case(2.5 * HOUR_S)]).rises == (True, False)
    assert outcome(scenario, [a_case(6 * HOUR_S)]).rises == (False, True)
    elsewhere = outcome(scenario, [a_case(4 * HOUR_S)])
    assert elsewhere.rises == (False, False)
    assert elsewhere.false == 1


def test_families_are_summarised_over_their_scenarios() -> None:
    fault = a_full_disk()
    outcomes = [outcome(fault, [a_case(3 * HOUR_S), a_case(HOUR_S)]), outcome(fault, [])]
    got = of_faults(outcomes)
    assert (got.faults, got.found, got.precision, got.false) == (2, 0.5, 0.5, 1)
    rises = (Rise(begin_s=0.0, end_s=HOUR_S, until_s=HOUR_S),)
    alike = outcome(a_scenario(filling(lowest=3.0), rises=rises), [a_case(60.0)])
    assert (of_lookalikes([alike]).first, of_lookalikes([alike]).second) == (1.0, None)


def test_tables_have_a_line_for_each_family_and_for_all() -> None:
    fault = replace(outcome(a_full_disk(), [a_case(3 * HOUR_S)]), family="leak-slow")
    text = tables([fault, replace(fault, family="inodes", leads=(None,), cases=(), false=0)])
    assert "| leak-slow | 1 | 100% | 100% | 0.67 | 0 |" in text
    assert "| inodes | 1 | 0% | - | - | 0 |" in text
    assert "| all | 2 | 50% | 100% | 0.67 | 0 |" in text
    assert text.endswith("2 scenarios: 1 faults found, 0 false cases, precision 1.00.")


def test_a_limit_that_is_reached_much_later_than_predicted_does_not_come_true() -> None:
    scenario = a_full_disk()
    assert scenario.comes_true("disk.filling", "/", 4 * HOUR_S, HOUR_S)
    assert scenario.comes_true("disk.filling", "/", 4 * HOUR_S, 0.7 * HOUR_S)
    assert not scenario.comes_true("disk.filling", "/", 4 * HOUR_S, 0.6 * HOUR_S)
    assert not scenario.comes_true("disk.filling", "/var", 4 * HOUR_S, HOUR_S)
    assert not scenario.comes_true("disk.filling", "/", 5 * HOUR_S, HOUR_S)
