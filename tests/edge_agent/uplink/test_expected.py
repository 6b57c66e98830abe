"""What staff expect of a device: read from the wire, refused in one line, and handed to the trends."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.assembly import expected_trends
from edge_agent.outbox import Outbox
from edge_agent.protocol import records
from edge_agent.protocol.topics import Channel, topic
from edge_agent.uplink.mqtt_connection import Link, MessageReceived
from edge_agent.uplink.uplink import Uplink
from tests.builders import DEVICE, an_instant

MESSAGE = (
    b'{"v": 1, "expected": [{"fault": "disk.filling", "component": "/data", "least_left": 2.1e9, '
    b'"until": "2027-01-01T00:00:00Z", "case": "a newer field"}]}'
)


@pytest.fixture
def uplink(tmp_path: Path) -> Iterator[Uplink]:
    """An uplink that is never started: messages are put into the queue of its connection."""
    store = Outbox(tmp_path / "outbox.db")
    link = Link(host="127.0.0.1", port=1, tls=None, username=None, password=None, keepalive_s=30)
    yield Uplink(
        device=DEVICE,
        link=link,
        outbox=store,
        presence=lambda state: records.Presence(state=state, at=an_instant(), agent="0.1.0"),
        monotonic=lambda: 0.0,
    )
    store.close()


def receive(uplink: Uplink, payload: bytes) -> None:
    uplink._connection.events.put(MessageReceived(topic(DEVICE, Channel.EXPECTED), payload))
    uplink.pump()


def test_a_message_replaces_what_is_expected_and_an_empty_one_is_nothing(uplink: Uplink) -> None:
    received: list[records.ExpectedTrends] = []
    uplink.on_expected = received.append
    receive(uplink, MESSAGE)
    receive(uplink, b"")
    first, second = ([*expected_trends(message)] for message in received)
    assert second == []
    assert (first[0].fault, first[0].component, first[0].least_headroom) == ("disk.filling", "/data", 2.1e9)
    assert first[0].until_s == datetime(2027, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{", "message: Invalid JSON"),
        (MESSAGE.replace(b'"v": 1', b'"v": 2'), "v: Input should be 1"),
        (MESSAGE.replace(b"2.1e9", b"-1"), "expected.0.least_left: Input should be greater than or equal to 0"),
        (MESSAGE.replace(b"Z", b""), "expected.0.until: Input should have timezone info"),
        (b'{"v": 1}', "expected: Field required"),
    ],
)
def test_a_message_that_can_t_be_read_changes_nothing_and_is_logged(
    uplink: Uplink, payload: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    uplink.on_expected = lambda _: pytest.fail("it was handed over")
    receive(uplink, payload)
    (line,) = caplog.messages
    assert (uplink.malformed_expected, uplink.bad_acks) == (1, 0)
    assert line.startswith(f"forewarn/v1/{DEVICE}/expected: {reason}")
    assert "\n" not in line


def test_malformed_acknowledgements_and_malformed_expectations_are_counted_and_logged_apart(
    uplink: Uplink, caplog: pytest.LogCaptureFixture
) -> None:
    for channel in (Channel.ACK, Channel.EXPECTED, Channel.ACK):
        uplink._connection.events.put(MessageReceived(topic(DEVICE, channel), b"{"))
    uplink.pump()

    assert (uplink.malformed_expected, uplink.bad_acks) == (1, 2)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 2
