"""What each request is given: the database, the case service, the change signal, the clock and the login throttle."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from fastapi import Request

from cloud.accounts import RecentPasswords, SessionLimits, Throttle
from cloud.case_service import CaseService
from cloud.case_service.undo import UndoLog
from cloud.change_signal import ChangeSignal
from cloud.console_settings import WebTable
from cloud.ingest import Counters, IngestHealth
from cloud.store.database import Database
from cloud.web.figures_cache import FiguresCache
from cloud.web.pending_imports import PendingImports
from cloud.web.request_metrics import RequestMetrics
from cloud.web.service_times import ServiceTimes
from cloud.web.sparklines import Sparklines
from cloud.web.viewers import Viewers


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The web part's surroundings, made once by `create_app`."""

    database: Database
    case_service: CaseService
    change_signal: ChangeSignal
    now: Callable[[], datetime]
    counters: Counters
    health: IngestHealth | None = None  # of the ingest in this process; None if there is none
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    settings: WebTable
    throttle: Throttle = field(default_factory=Throttle)
    recent: RecentPasswords = field(default_factory=RecentPasswords)
    sparklines: Sparklines = field(default_factory=Sparklines)
    pending_imports: PendingImports = field(default_factory=PendingImports)
    figures: FiguresCache = field(default_factory=FiguresCache)
    service_times: ServiceTimes = field(default_factory=ServiceTimes)
    undo: UndoLog = field(default_factory=UndoLog)
    viewers: Viewers = field(default_factory=Viewers)

    @property
    def session_limits(self) -> SessionLimits:
        """How long logins last."""
        return SessionLimits(idle=self.settings.idle, whole=self.settings.whole)


def console_of(request: Request) -> Console:
    """Return the surroundings of the application that serves this request."""
    return cast(Console, request.app.state.console)
