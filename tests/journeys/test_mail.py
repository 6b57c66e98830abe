"""From a finding on the wire to a mail in a mailbox: the real cloud, a real broker, a real mail server."""

import asyncio
from pathlib import Path

import pytest

from edge_agent.protocol.faults import Severity
from firmware_stubs.processes import free_port, running_cloud
from tests.builders import DEVICE, a_finding, an_envelope
from tests.cloud.notify.mail_server import Mailbox, a_mail_server
from tests.cloud.pump import a_pump
from tests.journeys.conftest import eventually

pytestmark = pytest.mark.journey


def test_a_critical_finding_is_one_mail_with_a_link_and_its_outcome_is_in_the_console(
    tmp_path: Path, ports: tuple[int, int]
) -> None:
    web_port, mqtt_port = ports
    mailbox, smtp_port = Mailbox(), free_port()
    (tmp_path / "cloud.toml").write_text(
        f'[notify]\nsmtp_url = "smtp://127.0.0.1:{smtp_port}"\nto = ["support@example.org"]\n'
        'console_url = "https://forewarn.example.org"\ngroup_wait_s = 1.0\n'
    )
    options = ("--config", str(tmp_path / "cloud.toml"), "--mqtt", f"127.0.0.1:{mqtt_port}")

    async def report() -> None:
        async with a_pump(mqtt_port) as pump:
            await pump.acked(an_envelope(1, a_finding(severity=Severity.CRITICAL)))

    with a_mail_server(mailbox, smtp_port), running_cloud(tmp_path, web_port, mqtt_port, *options) as (console, _):
        asyncio.run(report())
        eventually(lambda: mailbox.mails, "the mail", 30)
        (case,) = console.cases()
        sent = eventually(lambda: [one for one in console.notifications() if one["state"] == "sent"], "its outcome", 10)
    (mail,) = mailbox.mails
    assert mail["Subject"] == f"[critical] {case['title']}"
    assert DEVICE in mail["Subject"]
    assert f"https://forewarn.example.org/cases/{case['number']}" in mail.get_content()
    assert [one["outcome"] for one in sent] == [f"Accepted by 127.0.0.1:{smtp_port}."]
