"""The web application: puts the pages, the stream, the API and the headers that guard them together."""

import secrets
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from urllib.parse import quote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud import __version__
from cloud.case_service import CaseService
from cloud.change_signal import ChangeSignal
from cloud.console_settings import WebTable
from cloud.ingest import Counters, IngestHealth
from cloud.store.audit import nobody_acts
from cloud.store.database import Database
from cloud.web import (
    account_pages,
    api,
    assets,
    audit_pages,
    case_actions,
    delivery_pages,
    device_pages,
    evidence_pages,
    fleet_pages,
    inbox_actions,
    inbox_pages,
    inventory_api,
    inventory_pages,
    login,
    oidc_login,
    outcome_api,
    outcome_pages,
    pages,
    people_pages,
    permissions,
    probes,
    problem_pages,
    rule_api,
    sensitivity_pages,
    server_sent_events,
    service_api,
    service_pages,
    silence_pages,
)
from cloud.web.auth import LoginNeeded, PasswordChangeNeeded
from cloud.web.context import Console
from cloud.web.description import describe
from cloud.web.input_limits import BodyLimit, check_input
from cloud.web.problem_details import field_errors, is_in_path, problem
from cloud.web.render import environment, page
from cloud.web.request_metrics import RequestTimes
from cloud.web.service_times import ServiceTimes

# Nothing but our own files is loaded or run, and nothing inline. Vega draws without 'unsafe-eval': the page asks
# for its expression interpreter. Referrer "same-origin" and not "no-referrer", which would make browsers send
# "Origin: null" with our own forms, and the origin is what guards changes.
GUARDS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
STRICT_TRANSPORT = f"max-age={365 * 86400}"
NO_TLS = "This came without TLS. Use https://, and let the proxy send X-Forwarded-Proto: https."
DEFAULTS = WebTable()

ROUTERS = (
    probes.router,
    api.description,
    api.router,
    rule_api.router,
    outcome_api.router,
    evidence_pages.files,
    service_api.router,
    inventory_api.router,
    assets.router,
    login.router,
    inbox_pages.router,
    inbox_actions.router,
    oidc_login.router,
    account_pages.router,
    people_pages.router,
    audit_pages.router,
    audit_pages.api,
    pages.router,
    device_pages.router,
    inventory_pages.router,
    fleet_pages.router,
    delivery_pages.router,
    case_actions.router,
    problem_pages.router,
    silence_pages.router,
    outcome_pages.router,
    evidence_pages.router,
    sensitivity_pages.router,
    service_pages.router,
    server_sent_events.router,
)


def create_app(  # noqa: PLR0913  all that it is given is its own
    database: Database,
    case_service: CaseService,
    change_signal: ChangeSignal,
    *,
    now: Callable[[], datetime],
    counters: Counters | None = None,
    health: IngestHealth | None = None,
    service_times: ServiceTimes | None = None,
    settings: WebTable = DEFAULTS,
    client_secret: str = "",
) -> FastAPI:
    """Return the console and the API over this database. It reads no clock but `now`, and owns nothing it is given."""
    permissions.check_complete(ROUTERS)
    # No documentation page: FastAPI's loads its scripts from another host. The description is at /api/openapi.json.
    app = FastAPI(
        title="Forewarn",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(check_input)],
    )
    app.state.console = Console(
        database=database,
        case_service=case_service,
        change_signal=change_signal,
        now=now,
        counters=counters or Counters(),
        health=health,
        service_times=service_times or ServiceTimes(),
        settings=settings,
    )
    app.state.assets = assets.Assets()
    app.state.templates = environment(app.state.assets)
    for router in ROUTERS:
        app.include_router(router)
    app.state.oidc = oidc_login.provider(settings.oidc, client_secret) if settings.oidc.issuer else None
    app.add_exception_handler(LoginNeeded, _to_login)
    app.add_exception_handler(PasswordChangeNeeded, _to_account)
    app.add_exception_handler(HTTPException, _error_page)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(Exception, _server_error)
    app.add_middleware(
        SessionMiddleware,  # only for the way to a provider and back; logins have sessions of their own
        secret_key=secrets.token_urlsafe(32),
        session_cookie=oidc_login.STATE_COOKIE,
        max_age=oidc_login.STATE_LASTS_S,
        same_site="lax",
        https_only=settings.needs_https,
        path="/login/oidc",
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(_Guarded, needs_https=settings.needs_https)
    app.add_middleware(RequestTimes, metrics=app.state.console.metrics)
    return app


class _Guarded:
    """Adds the guarding headers to every answer, streams included, and lets nothing in that others could read."""

    def __init__(self, app: ASGIApp, *, needs_https: bool) -> None:
        self._app, self._needs_https = app, needs_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in GUARDS.items():
                    headers[name] = value
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = STRICT_TRANSPORT
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._needs_https and scope["scheme"] != "https" and scope["path"] != "/healthz":
            await Response(NO_TLS, 403)(scope, receive, guarded)
        else:
            with nobody_acts():
                await self._app(scope, receive, guarded)


def _wants_page(request: Request) -> bool:
    path = request.url.path
    return not path.startswith(("/api/", "/static/", "/live", "/healthz", "/readyz", "/metrics"))


async def _to_login(request: Request, error: Exception) -> Response:  # noqa: ARG001  the handler's signature
    """Send somebody to the login page and back; a change is not repeated, its page is shown instead.

    The cookie is SameSite=Strict, so a link in a mail comes without it although the reader is logged in. Such a
    visit gets a page that loads itself once more: that second visit comes from our own site.
    """
    if not _wants_page(request):
        return problem(401, "Log in first.")
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET":
        target = "/"
    elif request.headers.get("sec-fetch-site") == "cross-site":
        return HTMLResponse('<!doctype html><meta http-equiv="refresh" content="0"><title>Forewarn</title>')
    return RedirectResponse("/login" + (f"?next={quote(target)}" if target != "/" else ""), 303)


async def _to_account(request: Request, error: Exception) -> Response:  # noqa: ARG001  the handler's signature
    """Send somebody with a one-time password to where they choose another one."""
    return RedirectResponse("/account", 303) if _wants_page(request) else problem(403, "Change your password first.")


async def _error_page(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if not _wants_page(request):
        return problem(error.status_code, str(error.detail), {**(error.headers or {}), **_allowed(request, error)})
    answer = page(
        request, "error.html", error.status_code, title=HTTPStatus(error.status_code).phrase, text=str(error.detail)
    )
    answer.headers.update(error.headers or {})
    return answer


def _allowed(request: Request, error: HTTPException) -> dict[str, str]:
    """Return all methods of an address; the framework names those of one route only."""
    route = getattr(request.scope.get("route"), "path", "")
    methods = describe(request.app)["paths"].get(route, {}) if error.status_code == 405 else {}
    return {"Allow": ", ".join(sorted(method.upper() for method in methods))} if methods else {}


async def _invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if is_in_path(error):
        return await _error_page(request, HTTPException(404, "There is nothing at this address."))
    wrong = field_errors(error)
    if not _wants_page(request):
        return problem(422, "The request is invalid: see errors for its fields.", errors=wrong)
    text = f"{wrong[0].field.rpartition('.')[2]}: {wrong[0].message.rstrip('.')}."
    return page(request, "error.html", 422, title="Invalid request", text=text)


async def _server_error(request: Request, error: Exception) -> Response:  # noqa: ARG001  it is logged by the server
    text = "An internal error occurred and has been logged. Nothing was changed. Reload the page."
    answer = (
        page(request, "error.html", 500, title="Internal error", text=text)
        if _wants_page(request)
        else problem(500, "An internal error occurred and has been logged. Nothing was changed.")
    )
    answer.headers.update(GUARDS)  # this answer is sent from outside of our own middleware
    return answer
