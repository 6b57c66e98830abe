"""A detector that lacks some of its readings, in any order, still evaluates the others."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Pipeline
from edge_agent.protocol.faults import FAULTS
from edge_agent.protocol.metrics import series
from edge_agent.sample import Sample
from firmware_stubs.clock import VirtualClock
from firmware_stubs.machine import VirtualMachine
from tests.builders import an_instant

WHOLE = dict(HostCollector(VirtualMachine(VirtualClock(), "pump-07")).collect(an_instant())) | {
    series("hw.status", hw__name="rpi_volt", hw__state="degraded", hw__type="voltage"): 1.0,
    series("hw.status", hw__name="BAT0", hw__state="failed", hw__type="battery"): 1.0,
    series("hw.status", hw__name="mmcblk0", hw__state="predicted_failure", hw__type="physical_disk"): 1.0,
    series("hw.errors", hw__name="mmcblk0p2", hw__type="logical_disk"): 3.0,
    series("hw.physical_disk.endurance_utilization", hw__name="mmcblk0", hw__physical_disk__state="remaining"): 0.1,
    series("hw.temperature", hw__name="cpu_thermal/0"): 91.0,
    series("hw.temperature.limit", hw__limit_type="high", hw__name="cpu_thermal/0"): 90.0,
    series("hw.fan.speed", hw__name="pwmfan/0"): -1.0,
    series("forewarn.battery.capacity.utilization", hw__name="BAT0"): 0.4,
    series("forewarn.cpu.throttled", forewarn__cause="heat"): 1.0,
    series("forewarn.cpu.throttled", forewarn__cause="soft_limit"): 1.0,
    series("forewarn.wifi.signal", network__interface__name="wlan0"): -90.0,
    series("systemd.unit.state", systemd__unit__active_state="failed", systemd__unit__name="app.service"): 1.0,
    series("systemd.service.restarts", systemd__unit__name="app.service"): 7.0,
    series("forewarn.systemd.crashed", systemd__unit__name="app.service"): 1.0,
    "forewarn.systemd.failed_units": 1.0,
    "forewarn.memory.oom_kills": 3.0,
}
CERTAIN = {
    "battery.worn", "power.undervoltage", "service.failed", "storage.io_errors", "storage.worn", "thermal.throttled",
    "thermal.throttling", "wifi.weak",
}  # fmt: skip


def opened(without: list[set[str]], every_s: float = 60.0) -> set[str]:
    """Evaluate a row for each set of series that is missing from it; return the faults that opened."""
    pipeline = Pipeline(period_s=every_s, horizon_s=3600.0, scorer=None)
    rows = ({key: value for key, value in WHOLE.items() if key not in missing} for missing in without)
    samples = [Sample(at=an_instant(every_s * number), values=row) for number, row in enumerate(rows)]
    return {reported.finding.fault for one in samples for reported in pipeline.step(one, one.at).announcements}


def test_a_machine_with_every_fault_at_once_reports_each() -> None:
    assert opened([set()] * 80) == CERTAIN


@given(st.sampled_from(sorted(WHOLE)))
@settings(max_examples=len(WHOLE), deadline=None)
def test_a_source_that_never_existed_hides_no_other_fault(series_gone: str) -> None:
    lost = CERTAIN - opened([{series_gone}] * 80)
    assert len(lost) <= 1


@given(st.lists(st.sets(st.sampled_from(sorted(WHOLE))), max_size=40))
@settings(deadline=None)
def test_every_detector_continues_whatever_is_missing_from_a_row(without: list[set[str]]) -> None:
    assert opened(without) <= FAULTS.keys()
