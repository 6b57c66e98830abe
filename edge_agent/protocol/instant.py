"""An instant as a device sees it: boot, uptime and wall clock together, because on a Pi the last one may be wrong."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """One moment of one device.

    `uptime_s` is seconds of CLOCK_BOOTTIME (it runs through suspend and never steps), `wall` is aware UTC, and
    `synced` says whether the wall clock had been set by a time server when it was read.
    Two instants of the same `boot_id` are ordered by `uptime_s`; never by `wall`.
    """

    __pydantic_config__: ClassVar = {"extra": "ignore"}  # a newer device may say more; else the records' "allow" counts

    boot_id: str
    uptime_s: float
    wall: datetime
    synced: bool
