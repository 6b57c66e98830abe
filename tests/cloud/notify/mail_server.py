"""A real SMTP server in this process, which answers as a test wants."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

ACCEPTED = "250 OK"


@dataclass(slots=True)
class Mailbox:
    """What the server received, and how it answers."""

    answer: Callable[[str], str] = lambda _address: ACCEPTED  # to RCPT
    final_answer: str = ACCEPTED  # after DATA
    tries: list[str] = field(default_factory=list)  # addresses of each attempt
    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802  aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.tries.append(address)
        answer = self.answer(address)
        if answer == ACCEPTED:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.final_answer == ACCEPTED:
            content = cast(bytes, envelope.content)
            self.mails.append(message_from_bytes(content, policy=policy.default))
        return self.final_answer


@contextmanager
def a_mail_server(mailbox: Mailbox, port: int, context: ssl.SSLContext | None = None) -> Iterator[None]:
    """Run the server on a port of loopback; with a context it offers STARTTLS and takes no mail without."""
    tls: dict[str, Any] = {"tls_context": context, "require_starttls": True} if context else {}
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **tls)
    controller.start()
    try:
        yield
    finally:
        controller.stop()
