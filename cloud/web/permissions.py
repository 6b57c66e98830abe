"""Who may do what: one table of all pages, actions and endpoints. A route that is not in it can't be served.

What flows in: a request's route and who asks. What flows out: nothing, or a refusal that names what is missing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.routing import APIRoute

from cloud.accounts.roles import PERMISSIONS, Permission, Role, least_role

_API = "/api/v1"


def _rows(permission: Permission, *operations: str) -> dict[str, Permission]:
    return dict.fromkeys(operations, permission)


TABLE: dict[str, Permission] = {
    **_rows(
        Permission.PUBLIC,
        *("GET /healthz", "GET /readyz", "GET /metrics", "GET /static/{name}", "GET /login", "POST /login"),
        *("GET /login/oidc", "GET /login/oidc/callback"),
    ),
    **_rows(
        Permission.OWN,
        *("POST /logout", "GET /account", "POST /account/password", "POST /account/sessions/end"),
        *("POST /account/tokens", "POST /account/tokens/{number}/revoke", "GET /notices", "POST /notices/read"),
        *("POST /views", "POST /views/{view_id}/delete"),
    ),
    **_rows(
        Permission.READ,
        *("GET /", "GET /live", "GET /cases/{number}", "GET /cases/{number}/evidence", "GET /devices", "GET /figures"),
        *("GET /problems", "GET /problems/{number}", "GET /watch", "GET /silences", "GET /sensitivity", "GET /mails"),
        *("GET /knowledge", "GET /knowledge/{fault}", "GET /api/openapi.json", "GET /cases/{number}/charts/{episode}"),
        *("GET /devices/{name}", "GET /fleet", "GET /dead-letters", "GET /dead-letters/{id_}", "GET /calendars"),
        *("GET /inventory", "GET /inventory/customer", "GET /inventory/site", "GET /inventory/devices.csv"),
        *(f"GET {_API}/inventory/devices", f"GET {_API}/inventory/devices/{{name}}", f"GET {_API}/inventory.csv"),
        *(f"GET {_API}/customers", f"GET {_API}/sites"),
        *(f"GET {_API}/cases", f"GET {_API}/cases/{{number}}", f"GET {_API}/cases/{{number}}/evidence"),
        *(f"GET {_API}/cases/{{number}}/evidence/{{snapshot}}.{{format}}", f"GET {_API}/cases/{{number}}/clocks"),
        *(f"GET {_API}/evidence/{{evidence_id}}", f"GET {_API}/devices", f"GET {_API}/dead-letters"),
        *(f"GET {_API}/losses", f"GET {_API}/ingest", f"GET {_API}/problems", f"GET {_API}/silences"),
        *(f"GET {_API}/watch-list", f"GET {_API}/figures", f"GET {_API}/notifications"),
    ),
    **_rows(
        Permission.CASES,
        *(
            f"POST {prefix}/cases/{{number}}/{action}"
            for prefix in ("", _API)
            for action in ("take", "release", "close", "reopen", "note", "contact")
        ),
        *(
            f"POST {prefix}/cases/{{number}}/{action}"
            for prefix in ("", _API)
            for action in ("hand-over", "snooze", "wake", "merge", "unmerge", "unlink")
        ),
        *("POST /problems/{number}/take", "POST /problems/{number}/note", "POST /problems/{number}/close"),
        *(f"POST {_API}/problems/{{number}}/take", f"POST {_API}/problems/{{number}}/close"),
        *("POST /watch/{episode_id}/acknowledge", "POST /sensitivity", "POST /cases/bulk", "POST /undo"),
        *("GET /devices/{name}/edit", "POST /devices/{name}/edit", "POST /inventory/customer", "POST /inventory/site"),
        *("GET /inventory/import", "POST /inventory/import", "POST /inventory/import/apply"),
        f"POST {_API}/inventory/import",
        *(f"PUT {_API}/inventory/devices/{{name}}", f"PUT {_API}/customers", f"PUT {_API}/sites"),
    ),
    **_rows(
        Permission.SUPERVISE,
        *("POST /silences", "POST /silences/{number}/end", f"POST {_API}/silences"),
        *(f"POST {_API}/silences/{{number}}/end", "POST /problems/{number}/announce"),
        *(f"POST {_API}/problems/{{number}}/announce", "POST /knowledge/{fault}"),
        *("POST /sensitivity/{number}/{decision}", "GET /audit", f"GET {_API}/audit"),
    ),
    **_rows(
        Permission.ADMIN,
        *("GET /people", "POST /people", "POST /people/{name}/role", "POST /people/{name}/disable"),
        *("POST /people/{name}/enable", "POST /people/{name}/password", "POST /people/{name}/sessions/end"),
        *("GET /tokens", "POST /tokens/{number}/revoke"),
    ),
}


def operations(routers: Sequence[APIRouter]) -> Iterator[tuple[str, APIRoute]]:
    """Yield every operation of these routers, as "GET /cases/{number}", with its route."""
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods or ()):
                yield f"{method} {route.path}", route


def check_complete(routers: Sequence[APIRouter]) -> None:
    """Refuse to serve what nobody has decided on. Raises RuntimeError."""
    if missing := [operation for operation, _ in operations(routers) if operation not in TABLE]:
        raise RuntimeError(f"cloud.web.permissions.TABLE does not say who may: {', '.join(missing)}")


def operation_of(request: Request) -> str:
    """Return the operation that is asked for."""
    route: Any = request.scope["route"]
    return f"{request.method} {route.path}"


def what(operation: str) -> str:
    """Return an operation as the audit log calls it: "cases: take"."""
    if operation == "POST /sensitivity/{number}/{decision}":
        return "sensitivity: decide"
    method, _, path = operation.partition(" ")
    parts = [part for part in path.removeprefix(_API).split("/") if part and not part.startswith("{")]
    if len(parts) > 1:
        return f"{parts[0]}: {' '.join(parts[1:])}"
    action = "edit" if path.endswith("}") else "create"
    return f"{parts[0] if parts else 'inbox'}: {action if method == 'POST' else method.lower()}"


def check(operation: str, role: Role, scopes: frozenset[Permission] | None) -> None:
    """Refuse what the role may not do, or the token was not made for. Raises HTTPException."""
    needed = TABLE[operation]
    if needed not in PERMISSIONS[role]:
        raise HTTPException(403, f"Your role is {role}. This needs the role {least_role(needed)}: ask an admin.")
    if scopes is not None and needed not in scopes:
        raise HTTPException(403, f"This needs the scope {needed}, which the token does not have.")
