"""What every request of the web part is given: the database, the rules of cases, the bell, the clock, the brakes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from fastapi import Request

from cloud.accounts import RecentPasswords, Throttle
from cloud.case_service import Casebook
from cloud.change_signal import Bell
from cloud.ingest.counters import Tally
from cloud.store.database import Database
from cloud.web.sparklines import Sparklines


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The web part's surroundings, made once by `create_app`."""

    database: Database
    casebook: Casebook
    bell: Bell
    now: Callable[[], datetime]
    tally: Tally
    throttle: Throttle = field(default_factory=Throttle)
    recent: RecentPasswords = field(default_factory=RecentPasswords)
    sparklines: Sparklines = field(default_factory=Sparklines)


def console_of(request: Request) -> Console:
    """Return the surroundings of the application that serves this request."""
    return cast(Console, request.app.state.console)
