"""Mails over a real SMTP server: accepted once, tried again when they may be, never when they may not."""

import ssl
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import trustme
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.notify import NotificationFollower, NotifyTable, Sender
from cloud.notify.smtp import MailServer
from cloud.notify.states import GIVE_UP_AFTER, LEASE, NotificationState
from cloud.store.database import Database
from cloud.store.service_tables import Notification
from cloud.store.tables import Device
from tests.builders import DEVICE, NOON
from tests.cloud.case_service.fleet import add_devices, at, report
from tests.cloud.notify.mail_server import Mailbox, a_mail_server

HOSTILE = "kiln\r\nBcc: everybody@example.org\u202e<script>"


class Post:
    """A sender with a clock that stands still until it is moved."""

    def __init__(self, database: Database, settings: NotifyTable) -> None:
        self.now = at(100)
        self.database = database
        self.sender = Sender(database, settings, MailServer(settings), now=self._clock)

    def _clock(self) -> datetime:
        return self.now

    async def send_in(self, seconds: float) -> int:
        self.now += timedelta(seconds=seconds)
        return await self.sender.send_due()

    async def row(self) -> Notification:
        async with self.database.read() as session:
            return (await session.scalars(select(Notification))).one()


def settings(port: int, **more: object) -> NotifyTable:
    given = {"smtp_url": f"smtp://127.0.0.1:{port}", "to": ["support@example.org"], "console_url": "https://fw.example"}
    return NotifyTable.model_validate(given | more)


async def open_case(session: AsyncSession, table: NotifyTable, component: str = "/data") -> None:
    session.add(Device(device=DEVICE, first_seen=NOON, last_seen=NOON))
    service = CaseService(Rules(), (NotificationFollower(table),))
    await report(service, session, 10, fault="a.newer.fault", component=component)


@pytest.fixture
async def post(database: Database, port: int) -> Post:
    table = settings(port)
    async with database.begin() as session:
        await open_case(session, table)
    return Post(database, table)


async def test_a_mail_says_what_was_seen_why_it_is_sent_and_where_to_read_on(post: Post, port: int) -> None:
    mailbox = Mailbox()
    with a_mail_server(mailbox, port):
        assert await post.send_in(0) == 1
        assert await post.send_in(3600) == 0
    (mail,) = mailbox.mails
    assert mail["Subject"] == "[warning] a.newer.fault on /data of pump-07"
    assert (mail["To"], mail["Auto-Submitted"]) == ("support@example.org", "auto-generated")
    text = mail.get_content()
    assert "/data grows by 2 GB an hour" in text
    assert "https://fw.example/cases/1" in text
    assert "You get this mail because: new case, warning." in text
    row = await post.row()
    assert (row.state, row.outcome, row.attempts) == ("sent", f"Accepted by 127.0.0.1:{port}.", 1)


async def test_replies_lost_while_smtp_is_down_zammad_1239(post: Post, port: int) -> None:
    assert await post.send_in(0) == 0
    row = await post.row()
    assert (row.state, row.attempts) == ("pending", 1)
    assert "Not accepted yet: [Errno 111] Connection refused" in row.outcome
    mailbox = Mailbox()
    with a_mail_server(mailbox, port):
        assert await post.send_in(60) == 1
    assert len(mailbox.mails) == 1


async def test_the_same_alert_tried_200_times_in_10_minutes_alertmanager_2286(post: Post, port: int) -> None:
    mailbox = Mailbox(answer=lambda _address: "451 try again later")
    with a_mail_server(mailbox, port):
        for _ in range(300):
            await post.send_in(2)
    assert len(mailbox.tries) <= 6
    assert (await post.row()).state == "pending"


async def test_duplicates_after_a_5xx_alertmanager_4108_and_3865(post: Post, port: int) -> None:
    mailbox = Mailbox(answer=lambda _address: "550 no such mailbox")
    with a_mail_server(mailbox, port):
        for _ in range(10):
            await post.send_in(3600)
    assert len(mailbox.tries) == 1
    row = await post.row()
    assert (row.state, row.outcome) == ("failed", "Refused by the mail server: 550 no such mailbox")


async def test_a_mail_that_is_refused_after_its_content_is_not_repeated_either(post: Post, port: int) -> None:
    mailbox = Mailbox(final_answer="554 looks like spam")
    with a_mail_server(mailbox, port):
        await post.send_in(0)
        await post.send_in(3600)
    assert len(mailbox.tries) == 1
    assert (await post.row()).outcome == "Refused by the mail server: 554 looks like spam"


async def test_a_mail_that_is_not_accepted_for_days_is_tried_no_more_and_shown_as_failed(post: Post, port: int) -> None:
    await post.send_in(GIVE_UP_AFTER.total_seconds())
    row = await post.row()
    assert row.state == "failed"
    assert row.outcome.endswith("No further attempts.")


async def test_a_claim_of_a_crashed_sender_expires_and_its_mail_keeps_its_message_id(post: Post, port: int) -> None:
    async with post.database.begin() as session:
        row = (await session.scalars(select(Notification))).one()
        row.state, row.claimed_at = NotificationState.SENDING, post.now
    mailbox = Mailbox()
    with a_mail_server(mailbox, port):
        assert await post.send_in(LEASE.total_seconds() - 1) == 0
        assert await post.send_in(1) == 1
    assert mailbox.mails[0]["Message-ID"] == (await post.row()).message_id


async def test_two_senders_never_send_the_same_mail(post: Post, port: int) -> None:
    other = Post(post.database, settings(port))
    ids = await post.sender._due()
    assert [await each.sender._claim(ids[0]) for each in (post, other)] == [True, False]


async def test_when_the_server_fails_the_other_mails_wait_without_an_attempt(database: Database, port: int) -> None:
    table = settings(port)
    async with database.begin() as session:
        add_devices(session, "kiln-1", "kiln-2")
        service = CaseService(Rules(), (NotificationFollower(table),))
        for name in ("kiln-1", "kiln-2"):
            await report(service, session, 10, device=name)
    await Post(database, table).send_in(0)
    async with database.read() as session:
        assert [row.attempts for row in await session.scalars(select(Notification).order_by(Notification.id))] == [1, 0]


async def test_what_a_device_wrote_can_not_add_a_header_or_turn_the_text_around(database: Database, port: int) -> None:
    table, mailbox = settings(port), Mailbox()
    async with database.begin() as session:
        await open_case(session, table, HOSTILE)
    with a_mail_server(mailbox, port):
        assert await Post(database, table).send_in(0) == 1
    (mail,) = mailbox.mails
    assert mail["Bcc"] is None
    assert mail["Subject"] == "[warning] a.newer.fault on kiln Bcc: everybody@example.org <script> of pump-07"
    assert "\u202e" not in mail.get_content()


async def test_tls_is_verified_and_never_downgraded(database: Database, port: int, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    url = f"smtp+starttls://127.0.0.1:{port}"
    table = settings(port, smtp_url=url, ca_file=str(ca_file))
    async with database.begin() as session:
        await open_case(session, table)
    mailbox = Mailbox()
    with a_mail_server(mailbox, port):
        await Post(database, table).send_in(0)
        assert "STARTTLS" in (await Post(database, table).row()).outcome, "the server offers none"
    with a_mail_server(mailbox, port, context):
        await Post(database, settings(port, smtp_url=url)).send_in(60)
        assert "certificate verify failed" in (await Post(database, table).row()).outcome
        assert mailbox.tries == []
        assert await Post(database, table).send_in(600) == 1
    assert len(mailbox.mails) == 1
