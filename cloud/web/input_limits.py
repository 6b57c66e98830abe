"""Limits of what a request may carry: the size of its body, numbers that fit the database, and text it can store.

What flows in: requests. What flows out: the same requests, or 404, 413 and 422 before anything is read or changed.
"""

import json

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_MAX = 5 << 20  # bytes of a form or of JSON; a CSV file of the inventory may have 4 MiB
INTEGER_MAX = 2**63 - 1  # of both databases
LONGEST_NUMBER = 18  # digits that surely fit

WORDS = "q"  # the query that may hold any words

_CLOSE = {"Connection": "close"}  # the rest of the body is not worth waiting for
_TOO_LARGE = f"The body is larger than {BODY_MAX >> 20} MiB. Send less at once."
_NO_TEXT = "a text holds a character that can't be stored (NUL, or half of a surrogate pair). Leave it out."


class BodyLimit:
    """Refuses a body that is too large: at once if its length is given, else when it gets too long."""

    def __init__(self, app: ASGIApp, body_max: int = BODY_MAX) -> None:
        self._app, self._body_max = app, body_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        read = len(announced) > LONGEST_NUMBER or int(announced) > self._body_max
        left = self._body_max

        async def limited() -> Message:
            nonlocal left
            if read:
                raise HTTPException(413, _TOO_LARGE, _CLOSE)
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, _TOO_LARGE, _CLOSE)
            return message

        if read:
            scope = dict(scope) | {"forewarn.too_large": True}
        await self._app(scope, limited, send)


async def check_input(request: Request) -> None:
    """Refuse what no database can hold: 404 in the address, 422 elsewhere. Every route depends on this."""
    if request.scope.get("forewarn.too_large"):
        raise HTTPException(413, _TOO_LARGE, _CLOSE)
    for value in request.path_params.values():
        text = str(value)
        if not _is_storable(text) or _is_long_number(text):
            raise HTTPException(404, "There is nothing at this address.")
    for name, text in request.query_params.multi_items():
        if not _is_storable(name + text):
            raise _refused("query", _NO_TEXT)
        if name != WORDS and _is_long_number(text):
            raise _refused("query", f"{name}: the number is too large")
    await _check_body(request)


async def _check_body(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.form()
        if not all(_is_storable(value) for value in form.values() if isinstance(value, str)):
            raise _refused("body", _NO_TEXT)
    elif request.method not in ("GET", "HEAD", "OPTIONS") and (body := await request.body()):
        try:
            text = json.dumps(json.loads(body), ensure_ascii=False)
        except (ValueError, RecursionError):
            return  # whoever reads it says what is wrong with it
        if "\\u0000" in text or not _is_storable(text):
            raise _refused("body", _NO_TEXT)


def _is_storable(text: str) -> bool:
    """Whether PostgreSQL takes a text too: no NUL, and nothing that has no UTF-8."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _is_long_number(text: str) -> bool:
    return text.lstrip("+-").isdigit() and len(text) > LONGEST_NUMBER


def _refused(place: str, why: str) -> RequestValidationError:
    return RequestValidationError([{"type": "text", "loc": (place,), "msg": why, "input": None}])
