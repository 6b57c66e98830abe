"""TLS with a real Mosquitto: unverified certificates are refused, nothing is sent in clear text, no record is lost."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from edge_agent.config import Mqtt, tls_context
from edge_agent.outbox import Outbox
from edge_agent.protocol import records
from edge_agent.protocol.topics import Lane
from edge_agent.uplink.backoff import Backoff
from edge_agent.uplink.mqtt_connection import Link
from edge_agent.uplink.uplink import Uplink
from firmware_stubs.processes import free_port, running_cloud
from tests.builders import DEVICE, a_chunk, a_finding
from tests.chaos.proxy import Proxy
from tests.edge_agent.uplink.test_uplink import all_away, presence, pumped
from tests.journeys.conftest import cases_of, eventually, mosquitto

pytestmark = [
    pytest.mark.journey,
    # paho leaves a socket whose handshake failed to Python, which closes it at once and warns
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

HOST = "127.0.0.1"
SOON_S = 6.0  # Mosquitto is up and was refused before this
CLIENT_HELLO = b"\x16\x03"  # a TLS record that carries a handshake: RFC 8446, 5.1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next_s", lambda _self, _held_s: 0.2)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    store = Outbox(tmp_path / "outbox.db")
    store.put([records.encode(a_finding())])
    store.buffer(a_chunk())
    yield store
    store.close()


@contextmanager
def tls_broker(folder: Path, certificate: trustme.LeafCert, clear_port: int) -> Iterator[int]:
    """Run a Mosquitto with this certificate, and a port without TLS for the cloud; yield the port for TLS."""
    certificate.cert_chain_pems[0].write_to_path(folder / "broker.pem")
    certificate.private_key_pem.write_to_path(folder / "broker.key")
    tls_port = free_port()
    settings = (f"listener {tls_port} {HOST}", f"certfile {folder / 'broker.pem'}", f"keyfile {folder / 'broker.key'}")
    reads_our_files = ("user root",) if os.geteuid() == 0 else ()
    with mosquitto(folder, clear_port, *settings, *reads_our_files):
        yield tls_port


@contextmanager
def sending(outbox: Outbox, port: int, trusted: trustme.CA, folder: Path) -> Iterator[Uplink]:
    """Send with TLS as the agent configures it."""
    trusted.cert_pem.write_to_path(folder / "ca.pem")
    tls = tls_context(Mqtt(url=f"mqtts://{HOST}:{port}", ca_file=str(folder / "ca.pem")))
    link = Link(host=HOST, port=port, tls=tls, username=None, password=None, keepalive_s=30)
    one = Uplink(device=DEVICE, link=link, outbox=outbox, presence=presence, monotonic=time.monotonic)
    one.start()
    try:
        yield one
    finally:
        one.stop()


@contextmanager
def tapped(port: int) -> Iterator[tuple[Proxy, list[bytes]]]:
    """Forward to a port; yield the proxy and the bytes that the device sent through it."""
    sent: list[bytes] = []
    proxy = Proxy(port, sent.append)
    proxy.start()
    try:
        yield proxy, sent
    finally:
        proxy.stop()


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings about the link."""
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_certificate_that_is_not_yet_valid_is_logged_with_the_devices_date_and_accepted_once_valid(
    tmp_path: Path, ports: tuple[int, int], outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Azure iotedge #4062: no RTC, so the certificate is "not yet valid"."""
    authority, web_port, clear_port = trustme.CA(), *ports
    certificate = authority.issue_cert(HOST, not_before=datetime.now(UTC) + timedelta(seconds=SOON_S))
    with (
        tls_broker(tmp_path, certificate, clear_port) as tls_port,
        tapped(tls_port) as (proxy, sent),
        sending(outbox, proxy.port, authority, tmp_path) as one,
    ):
        assert pumped(one, lambda: sum(piece.startswith(CLIENT_HELLO) for piece in sent) >= 3)
        (warning,) = refusals(caplog)
        assert "certificate is not yet valid" in warning
        assert f"On this device it is {datetime.now(UTC):%Y-%m-%d}" in warning
        assert "its clock is not set" in warning
        assert [outbox.waiting(lane) for lane in Lane] == [1, 1]
        options = ("--broker", f"mqtt://{HOST}:{clear_port}")
        with running_cloud(tmp_path, web_port, clear_port, *options) as (console, _):
            assert pumped(one, lambda: all_away(outbox))
            (case,) = eventually(lambda: cases_of(console, DEVICE), "the case")
            assert case["faults"] == ["disk.filling"]
    assert refusals(caplog) == [warning], "logged once, however often it was tried"
    assert not any(DEVICE.encode() in piece for piece in sent)


def test_a_refused_certificate_is_logged_even_after_a_network_error(
    tmp_path: Path, ports: tuple[int, int], outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A device that has just started has neither a network nor the date; the network is up first."""
    authority, certificate = of_last_year()
    with tls_broker(tmp_path, certificate, ports[1]) as tls_port, tapped(tls_port) as (proxy, sent):
        proxy.cut()
        with sending(outbox, proxy.port, authority, tmp_path) as one:
            assert pumped(one, lambda: refusals(caplog))
            proxy.restore()
            assert pumped(one, lambda: len(refusals(caplog)) == 2)
            tries = len(sent)
            assert pumped(one, lambda: len(sent) > tries + 2)
    unreachable, refused = refusals(caplog)
    assert "can't be reached" in unreachable
    assert "its certificate is refused" in refused


def of_another_authority() -> tuple[trustme.CA, trustme.LeafCert]:
    return trustme.CA(), trustme.CA().issue_cert(HOST)


def of_another_host() -> tuple[trustme.CA, trustme.LeafCert]:
    authority = trustme.CA()
    return authority, authority.issue_cert("broker.example")


def of_last_year() -> tuple[trustme.CA, trustme.LeafCert]:
    authority = trustme.CA()
    return authority, authority.issue_cert(HOST, not_after=datetime.now(UTC) - timedelta(days=1))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (of_another_authority, "unable to get local issuer certificate"),
        (of_another_host, "IP address mismatch"),
        (of_last_year, "certificate has expired. On this device it is 20"),
    ],
)
def test_a_broker_with_a_wrong_certificate_is_refused_at_every_try_and_receives_no_data(
    tmp_path: Path,
    ports: tuple[int, int],
    outbox: Outbox,
    caplog: pytest.LogCaptureFixture,
    made: Callable[[], tuple[trustme.CA, trustme.LeafCert]],
    reason: str,
) -> None:
    authority, certificate = made()
    with (
        tls_broker(tmp_path, certificate, ports[1]) as tls_port,
        tapped(tls_port) as (proxy, sent),
        sending(outbox, proxy.port, authority, tmp_path) as one,
    ):
        assert pumped(one, lambda: sum(piece.startswith(CLIENT_HELLO) for piece in sent) >= 6)
        assert not one.connected
    (warning,) = refusals(caplog)
    assert reason in warning
    assert not any(DEVICE.encode() in piece for piece in sent)
    assert [outbox.waiting(lane) for lane in Lane] == [1, 1]
