"""The table `[web]`: where the console listens, its TLS, sessions and single sign-on.

What flows in: the table. What flows out: settings, and what no key can know by itself as key, value and remedy.
"""

import ipaddress
import ssl
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from cloud.endpoint import Endpoint, Listen, Table

RoleName = Literal["viewer", "agent", "supervisor", "admin"]


class OidcTable(Table):
    """Single sign-on by OpenID Connect."""

    issuer: str = Field(default="", description="the provider's issuer, https://HOST/PATH. Empty: no single sign-on")
    client_id: str = Field(default="", description="this console's name at the provider")
    client_secret_file: str = Field(default="", description="file with the client's secret, mode 0600")
    scopes: str = Field(default="openid profile email", description="what the provider is asked for")
    name_claim: str = Field(default="preferred_username", description="claim with the name of the account")
    role_claim: str = Field(default="groups", description="claim with groups or roles: a text or a list of texts")
    roles: dict[str, RoleName] = Field(
        default={}, description="value of the claim = role here; of several the highest role counts"
    )
    default_role: Literal["", "viewer", "agent", "supervisor", "admin"] = Field(
        default="", description="role of those without such a value. Empty: they can't log in"
    )
    button: str = Field(default="Log in with single sign-on", max_length=80, description="text on the login page")
    local_login: bool = Field(default=True, description="passwords of accounts here work as well")

    @field_validator("issuer")
    @classmethod
    def _over_tls(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.scheme == "https" and parts.hostname):
            loopback = parts.scheme == "http" and parts.hostname and Endpoint(parts.hostname, 1).is_loopback
            if not loopback:
                raise ValueError("write it as https://HOST/PATH, as the provider's discovery document names it")
        return value


class WebTable(Table):
    """The console."""

    listen: Listen = Field(default=Endpoint("127.0.0.1", 8080), description="HOST:PORT of the console")
    password_file: str = Field(
        default="",
        description="file with the first account's password, mode 0600. Empty: one is generated and shown once",
    )
    certificate_file: str = Field(
        default="", description="certificate chain in PEM; with key_file: the console has TLS"
    )
    key_file: str = Field(default="", description="private key of the certificate in PEM, mode 0600")
    trusted_proxies: list[str] = Field(
        default=[],
        description="addresses or networks of proxies with TLS before the console; only their X-Forwarded headers hold",
    )
    session_hours: float = Field(default=12, gt=0, le=168, description="a login lasts no longer")
    session_idle_minutes: float = Field(default=120, gt=0, le=10_080, description="a login ends when not used so long")
    oidc: OidcTable = OidcTable()

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for one in value:
            try:
                network = ipaddress.ip_network(one)
            except ValueError:
                raise ValueError(
                    f"“{one}” is no address or network; write for instance 10.0.0.5 or 10.0.0.0/24"
                ) from None
            if network.prefixlen == 0:
                raise ValueError(f"“{one}” trusts everybody; name the proxy's own address")
        return value

    @property
    def has_tls(self) -> bool:
        """Whether the console itself ends TLS."""
        return bool(self.certificate_file and self.key_file)

    @property
    def needs_https(self) -> bool:
        """Whether requests must have come over TLS, here or at a trusted proxy."""
        return self.has_tls or not self.listen.is_loopback

    @property
    def idle(self) -> timedelta:
        """How long a login lasts without being used."""
        return timedelta(minutes=self.session_idle_minutes)

    @property
    def whole(self) -> timedelta:
        """How long a login lasts at the most."""
        return timedelta(hours=self.session_hours)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The files that nobody else may read."""
        return self.password_file, self.key_file, self.oidc.client_secret_file


def web_mistake(web: WebTable) -> tuple[str, object, str] | None:
    """Return what is wrong between the keys, as key, value and remedy."""
    if bool(web.certificate_file) != bool(web.key_file):
        key = "web.certificate_file" if web.certificate_file else "web.key_file"
        return key, web.certificate_file or web.key_file, "certificate_file and key_file belong together; set both"
    if web.has_tls:
        try:
            server_context(web)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or error.args[-1]
            remedy = f"can't be used with key_file ({why}); name a certificate and its key in PEM"
            return "web.certificate_file", web.certificate_file, remedy
    if not web.listen.is_loopback and not web.has_tls and not web.trusted_proxies:
        remedy = (
            "others could reach the console without TLS; set web.certificate_file and web.key_file, or put a proxy "
            "with TLS in front of it and set its address in web.trusted_proxies"
        )
        return "web.listen", str(web.listen), remedy
    oidc = web.oidc
    if oidc.issuer and not (oidc.client_id and oidc.client_secret_file):
        missing = "client_id" if not oidc.client_id else "client_secret_file"
        return f"web.oidc.{missing}", "", f"the issuer {oidc.issuer} needs it; set it as the provider gave it"
    if oidc.issuer and not (oidc.roles or oidc.default_role):
        return (
            "web.oidc.roles",
            oidc.roles,
            "nobody could log in; map role_claim or set default_role",
        )
    if not oidc.issuer and not oidc.local_login:
        return "web.oidc.local_login", False, "nobody could log in; set web.oidc.issuer, or leave it true"
    return None


def server_context(web: WebTable) -> ssl.SSLContext:
    """Return the console's TLS, 1.2 or newer. Raises OSError or ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(web.certificate_file, web.key_file)
    return context
