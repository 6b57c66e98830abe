"""A storm: one fault on 500 devices of one firmware within five minutes, through a real broker and a real cloud."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.protocol.faults import Severity
from edge_agent.protocol.topics import Channel, topic
from firmware_stubs.processes import running_cloud
from tests.builders import a_finding, a_presence, an_envelope, an_id, an_instant
from tests.journeys.conftest import eventually, mosquitto
from tests.wire import Publisher, packet

pytestmark = pytest.mark.journey

DEVICES, STORM_S = 500, 300


def test_500_devices_in_five_minutes_are_one_problem_and_an_unrelated_critical_is_a_case_of_its_own(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    web_port, mqtt_port = ports
    options = ("--broker", f"mqtt://127.0.0.1:{mqtt_port}")
    with mosquitto(tmp_path, mqtt_port), running_cloud(tmp_path, web_port, mqtt_port, *options) as (console, _):
        eventually(lambda: "Console:" in (tmp_path / "cloud.log").read_text(), "the cloud", 30)
        publisher, began = Publisher(mqtt_port, "storm"), datetime.now(UTC) - timedelta(seconds=STORM_S)
        for number in range(DEVICES):
            publisher.publish(packet(topic(f"kiln-{number:03}", Channel.PRESENCE), a_presence(), number))
        eventually(lambda: len(console.devices()) == DEVICES, "the devices", 60)
        for number in range(DEVICES):
            at = an_instant(wall=began + timedelta(seconds=number * STORM_S / DEVICES))
            finding = a_finding(at=at, finding_id=an_id(number + 1))
            if number == DEVICES // 2:
                finding = a_finding(
                    at=at, fault="storage.read_only", severity=Severity.CRITICAL, finding_id=an_id(number + 1)
                )
            publisher.publish(packet(topic(f"kiln-{number:03}", Channel.FINDINGS), an_envelope(1, finding), number))
        publisher.close()
        eventually(lambda: sum(each["cases"] for each in console.problems()) == DEVICES - 1, "the problem", 90)
        (problem,) = console.problems()
        assert (problem["fault"], problem["scope"], problem["value"]) == ("disk.filling", "firmware", "fw-3")
        by_problem = Counter(case["problem_number"] for case in console.cases())
        assert by_problem == {problem["number"]: DEVICES - 1, None: 1}
