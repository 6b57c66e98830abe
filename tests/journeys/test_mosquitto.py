"""The same journey over a real Mosquitto from Debian, and an agent that starts before its broker."""

import logging
from pathlib import Path

import pytest

from edge_agent.outbox import Outbox
from edge_agent.protocol import records
from edge_agent.protocol.topics import Lane
from edge_agent.uplink.messages_in_flight import TOO_LARGE
from firmware_stubs.clock import UP_S, VirtualClock
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import DiskFilling
from firmware_stubs.processes import running_cloud
from tests.builders import a_finding, an_evidence
from tests.edge_agent.uplink.test_uplink import pumped, sending
from tests.journeys.conftest import cases_of, eventually, mosquitto

pytestmark = pytest.mark.journey


def test_a_virtual_device_started_before_its_broker_gets_its_case_over_mosquitto(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    web_port, mqtt_port = ports
    fault = DiskFilling(start_s=UP_S + 10, lasts_s=600)
    device = VirtualDevice("pump-07", VirtualClock(20.0), (fault,), ("127.0.0.1", mqtt_port), tmp_path / "devices")
    device.start()
    try:
        with mosquitto(tmp_path, mqtt_port):
            options = ("--broker", f"mqtt://127.0.0.1:{mqtt_port}")
            with running_cloud(tmp_path, web_port, mqtt_port, *options) as (console, _):
                (case,) = eventually(lambda: cases_of(console, "pump-07"), "the case", 60)
                assert case["faults"] == ["disk.filling"]
                (row,) = [one for one in console.devices() if one["device"] == "pump-07"]
                assert row["presence"] == "online"
                device.stop()
                eventually(
                    lambda: [one for one in console.devices() if one["presence"] == "going_down"],
                    "going_down",
                    10,
                )
        assert device.error is None
    finally:
        device.stop()


def test_mosquitto_is_used_with_mqtt_5_and_gets_no_packet_above_its_maximum(
    tmp_path: Path, ports: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put([records.encode(a_finding()), records.encode(an_evidence(values=[1.0] * 9000))])
    with mosquitto(tmp_path, ports[1], "max_packet_size 20000"), sending(outbox, ports[1]) as uplink:
        assert pumped(uplink, lambda: outbox.quarantined())
        assert uplink.connected
        assert "MQTT 5" in caplog.text
    assert outbox.quarantined() == [(Lane.FINDINGS, 2, TOO_LARGE)]
    outbox.close()
