"""Mail text: a notification as a plain mail. What devices wrote is made harmless for the header lines. Pure.

A mail says what was seen, why it is sent, what it covers, and where to read on. It asks nobody to log in by a link of
its own: the address of the console is the one that staff know.
"""

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from cloud.cases.notifications import NotificationEvent

_SUBJECT_LENGTH = 150
_TEXT_LENGTH = 4000
_PREFIX = {
    NotificationEvent.OPENED: "",
    NotificationEvent.CRITICAL: "Now critical: ",
    NotificationEvent.REOPENED: "Reopened: ",
    NotificationEvent.REMINDER: "Reminder: ",
    NotificationEvent.HANDED_OVER: "Handed over to you: ",
    NotificationEvent.FOLLOWED: "News: ",
    NotificationEvent.BREACHED: "Service level missed: ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    """What a mail is made of."""

    sender: str
    address: str
    message_id: str
    event: NotificationEvent
    severity: str
    title: str  # of the case or of the problem
    path: str  # of its page: /cases/7 or /problems/3
    text: str
    reason: str
    devices: int  # of the problem; 0 for a case
    repeats: int
    console_url: str


def compose(facts: MailFacts, now: datetime) -> EmailMessage:
    """Return the mail."""
    message = EmailMessage()
    message["From"], message["To"] = facts.sender, facts.address
    message["Subject"] = one_line(f"[{facts.severity}] {_PREFIX[facts.event]}{facts.title}")[:_SUBJECT_LENGTH]
    message["Date"], message["Message-ID"] = format_datetime(now), facts.message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
    message.set_content("\n\n".join(_paragraphs(facts)) + "\n")
    return message


def _paragraphs(facts: MailFacts) -> list[str]:
    parts = [printable(facts.title), printable(facts.text[:_TEXT_LENGTH])]
    if facts.devices:
        parts.append(f"Devices so far: {facts.devices}. No further mail is sent for each of them.")
    elif facts.repeats:
        parts.append(f"This mail covers {facts.repeats + 1} events.")
    if facts.console_url:
        parts.append(f"{facts.console_url.rstrip('/')}{facts.path}")
    parts.append(f"You get this mail because: {facts.reason}.")
    return parts


def one_line(text: str) -> str:
    """Return a text for a header line: printable characters only, single spaces."""
    return " ".join(printable(text).split())


def printable(text: str) -> str:
    """Return a text without control characters and marks that change the direction of reading."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)
