"""The pages of the knowledge articles. Server-rendered; readable without JavaScript.

What flows in: requests of logged-in staff. What flows out: pages, or a redirect to the page that shows the change.
"""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Path, Response
from fastapi.responses import RedirectResponse

from cloud.cases.cases import Refused
from cloud.knowledge import Article, library
from cloud.web.auth import page_visitor
from cloud.web.pages import InPage, PageContext
from edge_agent.protocol.faults import FAULTS

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


Fault = Annotated[str, Path(max_length=200)]
ArticleText = Annotated[str, Form(max_length=8000)]


@router.get("/knowledge")
async def knowledge(context: InPage) -> Response:
    """What do we know about each fault?"""
    async with context.console.database.read() as session:
        faults = [*FAULTS, *(fault for fault in await library.edited_faults(session) if fault not in FAULTS)]
        found = await library.articles(session, faults)
    titles = {code: fault.title for code, fault in FAULTS.items()}
    return context.page("knowledge.html", active="knowledge", articles=list(found.values()), titles=titles)


@router.get("/knowledge/{fault}")
async def article(context: InPage, fault: Fault) -> Response:
    """What is this fault, and what do I do?"""
    return await _article_page(context, fault)


@router.post("/knowledge/{fault}")
async def edit_article(  # noqa: PLR0913  the fields of the form
    context: InPage,
    fault: Fault,
    version: Annotated[int, Form(ge=0)],
    what: ArticleText = "",
    confirm: ArticleText = "",
    steps: ArticleText = "",
    tell: ArticleText = "",
) -> Response:
    """Write down what was found out."""
    draft = Article(fault=fault, what=what, confirm=confirm, steps=steps, tell=tell)
    try:
        async with context.console.database.begin() as session:
            await library.edit(session, draft, version, context.visitor.name, context.console.now())
    except Refused as refusal:
        return await _article_page(context, fault, refused=str(refusal), draft=draft)
    return RedirectResponse(f"/knowledge/{quote(fault, safe='')}", 303)


async def _article_page(
    context: PageContext, fault: str, *, refused: str = "", draft: Article | None = None
) -> Response:
    async with context.console.database.read() as session:
        known = (await library.articles(session, [fault])).get(fault)
        versions = await library.history(session, fault)
    title = FAULTS[fault].title if fault in FAULTS else fault
    return context.page(
        "article.html", 409 if refused else 200, active="knowledge",
        fault=fault, title=title, known=known, versions=versions, refused=refused, draft=draft,
    )  # fmt: skip
