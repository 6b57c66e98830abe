"""Request metrics: how long each kind of request took, for Prometheus.

What flows in: answered requests. What flows out: a histogram by method, route and class of status.
"""

import time

from prometheus_client import CollectorRegistry, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ENDLESS = "/live"  # a stream: its end says nothing


class RequestMetrics:
    """The histograms of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "forewarn_http_request_seconds",
            "Time to answer a request, up to the end of its answer.",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.database = Histogram(
            "forewarn_database_read_seconds",
            "Time of the smallest read of the database, measured at each scrape.",
            registry=self.registry,
            buckets=_BUCKETS,
        )


class RequestTimes:
    """Times each request. The route is the pattern, so that its number is bounded."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] == _ENDLESS:
            await self._app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            labels = (_method(scope["method"]), route, f"{status // 100}xx")
            self._metrics.requests.labels(*labels).observe(time.perf_counter() - began_s)


def _method(name: str) -> str:
    return name if name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
