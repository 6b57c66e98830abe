"""What configuration tables are made of: a table that refuses unknown keys, and where to listen or to connect."""

import ipaddress
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict

ANY_IPV4, ANY_IPV6 = str(ipaddress.IPv4Address(0)), str(ipaddress.IPv6Address(0))  # "listen everywhere"


class Endpoint(NamedTuple):
    """Where to listen or to connect."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def from_here(self) -> "Endpoint":
        """Where this machine itself connects to what listens here."""
        return Endpoint({ANY_IPV4: "127.0.0.1", ANY_IPV6: "::1"}.get(self.host, self.host), self.port)


def _endpoint(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(f"//{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.netloc != value or parts.username:
        raise ValueError("write it as HOST:PORT, for instance 127.0.0.1:8080")
    return Endpoint(host, port)


Listen = Annotated[Endpoint, BeforeValidator(_endpoint)]


class Table(BaseModel):
    """A table of the file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
