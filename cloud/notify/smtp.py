"""SMTP: hands one mail to the mail server. TLS is verified and never downgraded."""

import smtplib
import ssl
from email.message import EmailMessage

from cloud.notify.settings import NotifyTable

TIMEOUT_S = 30.0
_PERMANENT = 500  # answers from here on are final (RFC 5321, 4.2.1)


class TemporaryError(Exception):
    """The mail may be accepted later: the server is away, busy or wrongly configured."""


class PermanentError(Exception):
    """The server refuses this mail or this address for good."""


class MailServer:
    """The configured mail server. Each mail has a connection of its own; the calls block."""

    def __init__(self, settings: NotifyTable, password: str = "") -> None:
        self._settings, self._password = settings, password

    def send(self, message: EmailMessage) -> str:
        """Send a mail to its only address; return the server's name. Raises TemporaryError or PermanentError."""
        try:
            with self._connected() as server:
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = next(iter(error.recipients.values()))
            raise _refused(code, answer) from error
        except (smtplib.SMTPAuthenticationError, smtplib.SMTPConnectError, smtplib.SMTPHeloError) as error:
            raise TemporaryError(_words(error.smtp_code, error.smtp_error)) from error
        except smtplib.SMTPResponseException as error:
            raise _refused(error.smtp_code, error.smtp_error) from error
        except (smtplib.SMTPException, OSError) as error:
            raise TemporaryError(str(error) or type(error).__name__) from error
        return f"{self._settings.host}:{self._settings.port}"

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.security == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, settings.port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_S)
        try:
            if settings.security == "smtp+starttls":
                server.starttls(context=context)  # raises if the server does not offer it
            if settings.user:
                server.login(settings.user, self._password)
        except BaseException:
            server.close()
            raise
        return server


def _refused(code: int, answer: bytes | str) -> TemporaryError | PermanentError:
    kind = PermanentError if code >= _PERMANENT else TemporaryError
    return kind(_words(code, answer))


def _words(code: int, answer: bytes | str) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return f"{code} {' '.join(text.split())}"[:500]
