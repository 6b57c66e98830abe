"""Articles as they ship: `articles.toml`, and the advice of the fault catalogue as what to do.

What flows in: a fault's code. What flows out: its article, or None for a fault that this version does not know.
"""

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

from edge_agent.protocol.faults import FAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One article. `confirm` and `steps` are lists of steps, one a line."""

    fault: str
    what: str = ""
    confirm: str = ""
    steps: str = ""
    tell: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written in it."""
        return not any(getattr(self, field.name).strip() for field in fields(self) if field.name != "fault")


def shipped_article(fault: str) -> Article | None:
    """Return the article that ships for a fault; None if there is none."""
    written = _written().get(fault)
    known = FAULTS.get(fault)
    if written is None and known is None:
        return None
    text = written or {}
    return Article(
        fault=fault,
        what=text.get("what", ""),
        confirm="\n".join(text.get("confirm", ())),
        steps="\n".join(known.advice) if known else "",
        tell=text.get("tell", ""),
    )


@cache
def _written() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("cloud.knowledge") / "articles.toml").read_text(encoding="utf-8"))
