"""The OpenAPI description: FastAPI's, with the errors that every operation below /api may answer.

What flows in: the application. What flows out: its description, made once.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from cloud.web.problem_details import MEDIA_TYPE, FieldError, Problem

_ANY = {
    401: "Not logged in, or name or password is wrong.",
    422: "A field is invalid: see errors.",
    429: "Too many wrong passwords: see Retry-After.",
    500: "An internal error. Nothing was changed.",
}
_OF_AN_OBJECT = {404: "There is no such thing."}
_OF_A_CHANGE = {
    400: "The body can't be read.",
    403: "A change with a login cookie that comes from another site, or that this account may not make.",
    404: "There is no such thing.",
    409: "Refused: detail says why.",
    413: "The body is too large.",
}
_REF = {"$ref": "#/components/schemas/Problem"}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the description of the API."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, routes=app.routes, description=app.description)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in (Problem, FieldError):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        made["components"].setdefault("securitySchemes", {})["basic"] = {"type": "http", "scheme": "basic"}
        for path, operations in made["paths"].items():
            for method, operation in operations.items():
                _complete(path, method, operation)
        app.openapi_schema = made
    return app.openapi_schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add the errors and the login to an operation of the API."""
    if not path.startswith("/api/"):
        operation["responses"].pop("422", None)
        return
    operation["security"] = [{"basic": []}]
    errors = _ANY | (_OF_A_CHANGE if method != "get" else {}) | (_OF_AN_OBJECT if "{" in path else {})
    if not any(str(status).startswith("2") for status in operation["responses"]):
        operation["responses"]["200"] = {"description": "Done."}
    for status, words in errors.items():
        operation["responses"][str(status)] = {"description": words, "content": {MEDIA_TYPE: {"schema": _REF}}}
    operation["responses"] = dict(sorted(operation["responses"].items()))
