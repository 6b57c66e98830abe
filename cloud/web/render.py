"""Templates into pages: the words that every template may use, and what every page is given."""

from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from cloud.store.tables import SYSTEM_DEVICE
from cloud.web import formatting
from cloud.web.assets import Assets
from cloud.web.context import Console
from cloud.web.sparklines import HEIGHT, WIDTH
from edge_agent.protocol.wording import metric_words, quantity, span

TimeStyle = Literal["ago", "in", "clock"]


def environment(assets: Assets) -> Environment:
    """Return the templates' surroundings. Everything that is not written in a template is escaped."""
    made = Environment(
        loader=PackageLoader("cloud.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "asset": assets.url,
        "formatting": formatting,
        "metric_words": metric_words,
        "quantity": quantity,
        "span": span,
        "when": when,
        "system_device": SYSTEM_DEVICE,
        "spark_size": (WIDTH, HEIGHT),
    }
    made.filters["utc"] = lambda seconds: datetime.fromtimestamp(seconds, tz=UTC)
    return made


def when(at: datetime, now: datetime, style: TimeStyle = "ago") -> Markup:
    """Return a time as people say it, with the exact instant on hover; the script keeps it up to date."""
    text = (
        {"ago": formatting.ago, "in": formatting.countdown}[style](at, now)
        if style != "clock"
        else formatting.clock(at)
    )
    return Markup('<time datetime="{}" data-as="{}" title="{}">{}</time>').format(
        at.isoformat(timespec="milliseconds"), style, formatting.clock(at), escape(text)
    )


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """Render a page. Pages are never kept by the browser: they carry names, and times that age."""
    console: Console = request.app.state.console
    given = {"now": console.now(), "visitor": None, "active": "", "toast": None, "feed": 0, "refused": ""} | values
    html = request.app.state.templates.get_template(template).render(given)
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})
