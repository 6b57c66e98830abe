"""A client of the console's REST API. It returns decoded JSON; a failed request raises OSError."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Console:
    """A console and a login."""

    url: str
    user: str
    password: str

    def healthy(self) -> bool:
        """Return whether the console responds."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2):  # noqa: S310  http, our own console
                return True
        except (urllib.error.URLError, OSError):
            return False

    def cases(self) -> list[Mapping[str, Any]]:
        """Return all cases, whatever their state."""
        found: list[Mapping[str, Any]] = self._get("/api/v1/cases?state=all")["cases"]
        return found

    def case(self, number: int) -> Mapping[str, Any]:
        """Return one case with its episodes, timeline and evidence ids."""
        found: Mapping[str, Any] = self._get(f"/api/v1/cases/{number}")
        return found

    def devices(self) -> list[Mapping[str, Any]]:
        """Return all devices that have reported."""
        found: list[Mapping[str, Any]] = self._get("/api/v1/devices")["devices"]
        return found

    def problems(self) -> list[Mapping[str, Any]]:
        """Return the newest problems, open ones first."""
        found: list[Mapping[str, Any]] = self._get("/api/v1/problems")["problems"]
        return found

    def notifications(self) -> list[Mapping[str, Any]]:
        """Return the newest mails with their outcome."""
        found: list[Mapping[str, Any]] = self._get("/api/v1/notifications")["notifications"]
        return found

    def ingest(self) -> Mapping[str, Any]:
        """Return how many messages the cloud has stored, dead-lettered and dropped since its start."""
        found: Mapping[str, Any] = self._get("/api/v1/ingest")
        return found

    def evidence(self, number: int) -> list[Mapping[str, Any]]:
        """Return what is frozen of the evidence of a case."""
        found: list[Mapping[str, Any]] = self._get(f"/api/v1/cases/{number}/evidence")["evidence"]
        return found

    def close(self, number: int, label: str, **report: str) -> Mapping[str, Any]:
        """Close a case; `report` is what is known beside the label (cause, noticed, advice, impact_at, note)."""
        closed: Mapping[str, Any] = self._ask(f"/api/v1/cases/{number}/close", {"label": label, **report})
        return closed

    def _get(self, path: str) -> Any:
        return self._ask(path)

    def _ask(self, path: str, body: Mapping[str, str] | None = None) -> Any:
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310  http, our own console
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)
