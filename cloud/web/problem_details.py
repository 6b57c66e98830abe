"""Errors of the API as problem details (RFC 9457): what went wrong and in which field, never what was sent.

What flows in: an error. What flows out: an answer of type application/problem+json.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One field that is wrong, and what it should be."""

    field: str = Field(description="where it is: query.limit, body.note")
    message: str


class Problem(BaseModel):
    """An error. `type` is about:blank: the status says what kind it is."""

    type: str = "about:blank"
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="a sentence for the person")
    errors: list[FieldError] | None = Field(default=None, description="the fields that are wrong (422)")


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, **members: Sequence[Any] | str
) -> JSONResponse:
    """Return an error as its answer; `members` are further fields of Problem."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, **members)
    return JSONResponse(
        body.model_dump(exclude_none=True), status, dict(headers) if headers else None, media_type=MEDIA_TYPE
    )


def field_errors(error: RequestValidationError) -> list[FieldError]:
    """Return which fields are wrong and why, without what was sent."""
    return [
        FieldError(field=".".join(_part(part) for part in each["loc"]), message=_message(each))
        for each in error.errors()[:20]
    ]


def is_in_path(error: RequestValidationError) -> bool:
    """Whether the address itself is wrong: then there is nothing at it."""
    return any(each["loc"][:1] == ("path",) for each in error.errors())


def _part(part: object) -> str:
    """Return a part of a place; a key that the sender made up is left out."""
    text = str(part)
    return text if isinstance(part, int) or re.fullmatch(r"[a-z][a-z0-9_-]{0,40}", text, re.IGNORECASE) else "…"


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return "The body is no JSON."
    return str(error["msg"]).removeprefix("Value error, ")
