"""Nobody reports these: an agent that hangs while its connection stays up, and a broker that is gone."""

import signal
from pathlib import Path

import pytest

from firmware_stubs.processes import running_agent, running_cloud
from tests.builders import DEVICE
from tests.journeys.conftest import cases_of, eventually, mosquitto

pytestmark = pytest.mark.journey

QUICK = """
[absence]
stalled_after_s = 5.0
missed_reports = 1.1
[pipeline]
stopped_after_s = 2.0
[rules]
hold_down_s = 1.0
"""


@pytest.fixture
def settings(tmp_path: Path) -> tuple[str, str]:
    file = tmp_path / "cloud.toml"
    file.write_text(QUICK)
    return "--config", str(file)


def test_an_agent_stopped_with_sigstop_while_its_connection_stays_up_opens_a_case_of_its_own(
    tmp_path: Path, ports: tuple[int, int], settings: tuple[str, str]
) -> None:
    web_port, mqtt_port = ports
    options = (*settings, "--mqtt", f"127.0.0.1:{mqtt_port}")
    full = '[telemetry]\nprofile = "full"\n'  # a batch every minute
    with (
        running_cloud(tmp_path, web_port, mqtt_port, *options) as (console, _),
        running_agent(tmp_path, DEVICE, mqtt_port, settings=full) as agent,
    ):
        eventually(lambda: [one for one in console.devices() if one["presence"] == "online"], "the device", 60)
        agent.send_signal(signal.SIGSTOP)
        try:
            found = eventually(lambda: cases_of(console, DEVICE), "the case", 100)
            (device,) = console.devices()
        finally:
            agent.send_signal(signal.SIGCONT)
        (case,) = [each for each in found if "device.stalled" in each["faults"]]
        assert device["presence"] == "online", "its connection is up, and no sign of life"
        assert case["title"] == f"{DEVICE} is connected, but its readings have stopped"
        number = case["number"]
        eventually(lambda: console.case(number)["state"] == "pending_close", "telemetry that resolves it", 100)


def test_a_broker_that_is_gone_opens_a_case_by_itself_and_its_return_resolves_it(
    tmp_path: Path, ports: tuple[int, int], settings: tuple[str, str]
) -> None:
    web_port, mqtt_port = ports
    options = (*settings, "--broker", f"mqtt://127.0.0.1:{mqtt_port}")
    with running_cloud(tmp_path, web_port, mqtt_port, *options) as (console, _):
        with mosquitto(tmp_path, mqtt_port):
            eventually(lambda: "back" in (tmp_path / "cloud.log").read_text(), "the connection", 30)
            assert console.devices() == []
        (case,) = eventually(console.cases, "the case", 30)
        assert (case["title"], case["severity"]) == ("The cloud receives no messages (broker)", "critical")
        with mosquitto(tmp_path, mqtt_port):
            eventually(lambda: console.cases()[0]["state"] == "pending_close", "the end of the case", 60)
