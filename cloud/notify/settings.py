"""Settings: the table `notify` of the configuration."""

from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cloud.cases.notifications import NotificationRules
from edge_agent.protocol.faults import Severity

_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_HOUR_S = 3600.0
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class NotifyTable(BaseModel):
    """Who is told by mail, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    smtp_url: str = Field(
        default="",
        description="smtp+starttls://[USER@]HOST[:PORT], smtps:// for TLS from the start, or smtp:// to this machine "
        "only. Empty: no mail is sent",
    )
    ca_file: str = Field(default="", description="authority that signed the server's certificate. Empty: the system's")
    password_file: str = Field(default="", description="file with the password for USER, mode 0600")
    sender: str = Field(default="forewarn@localhost", description="the address that mails come from")
    to: list[str] = Field(default=[], description="addresses of the support team")
    operators: list[str] = Field(
        default=[], description="addresses of those who run the cloud, for its own faults. Empty: the support team"
    )
    people: dict[str, str] = Field(default={}, description='addresses by account: alice = "alice@example.org"')
    console_url: str = Field(default="", description="where staff open the console, for the links in mails")
    office: str = Field(default="", description="calendar in whose hours reminders are sent. Empty: at any time")
    least_severity: Literal["critical", "high", "warning"] = Field(
        default="warning", description="cases that are less urgent are not mailed"
    )
    group_wait_s: float = Field(
        default=30.0, ge=0, le=_HOUR_S, description="a mail waits for this long for others about the same problem"
    )
    repeat_after_s: float = Field(
        default=4 * _HOUR_S, ge=0, le=30 * 24 * _HOUR_S, description="a fault that returns is mailed again after this"
    )

    @field_validator("smtp_url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        parts = urlsplit(value)
        if not value:
            return value
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
            raise ValueError("write it as smtp+starttls://[USER@]HOST[:PORT] or smtps://[USER@]HOST[:PORT]")
        if parts.password:
            raise ValueError("a password does not belong here; put it into a file and name notify.password_file")
        if parts.scheme == "smtp" and parts.hostname not in _LOCAL:
            raise ValueError("would send cases in clear text; use smtp+starttls:// or smtps://")
        _ = parts.port  # raises ValueError if it is no number
        return value

    @field_validator("sender", "to", "operators", "people")
    @classmethod
    def _addresses(cls, value: str | list[str] | dict[str, str]) -> str | list[str] | dict[str, str]:
        given = [value] if isinstance(value, str) else value.values() if isinstance(value, dict) else value
        for address in given:
            local, at, domain = address.rpartition("@")
            if not (local and at and domain) or not address.isprintable() or any(c in address for c in ' ,;<>"'):
                raise ValueError(f"{address!r} is no mail address; write for instance support@example.org")
        return value

    @property
    def rules(self) -> NotificationRules:
        """What the rules need to know."""
        return NotificationRules(
            group_wait_s=self.group_wait_s,
            repeat_after_s=self.repeat_after_s,
            least_severity=Severity(self.least_severity),
        )

    @property
    def host(self) -> str:
        """The mail server."""
        return self._url.hostname or ""

    @property
    def port(self) -> int:
        """Its port, by default that of the scheme."""
        return self._url.port or _PORTS[self._url.scheme]

    @property
    def user(self) -> str:
        """The name in the URL; empty if there is none."""
        return self._url.username or ""

    @property
    def security(self) -> str:
        """``smtp``, ``smtp+starttls`` or ``smtps``."""
        return self._url.scheme

    @property
    def _url(self) -> SplitResult:
        return urlsplit(self.smtp_url)
