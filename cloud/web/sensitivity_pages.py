"""The page of sensitivity: propose other thresholds for a fault, see their effect, and let a supervisor decide."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, HTTPException, Response
from fastapi.responses import RedirectResponse

from cloud.cases.cases import Refused
from cloud.cases.sensitivity import Sensitivity, changed_rules
from cloud.outcomes import sensitivity_proposals
from cloud.web.auth import page_visitor
from cloud.web.pages import InPage, PageContext
from edge_agent.protocol.faults import FAULTS

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


@router.get("/sensitivity")
async def sensitivity(context: InPage) -> Response:
    """When does a fault open a case, and what would happen otherwise?"""
    return await _page(context)


@router.post("/sensitivity")
async def propose(
    context: InPage,
    fault: Annotated[str, Form(max_length=200)],
    open_above: Annotated[float, Form(ge=0, le=100)],
    debounce_s: Annotated[float, Form(ge=0, le=86_400)],
    reason: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Keep a proposal with its effect."""
    change = Sensitivity(fault=fault, open_above=open_above / 100, debounce_s=debounce_s)
    console, name = context.console, context.visitor.name
    try:
        async with console.database.begin() as session:
            rules = console.case_service.rules
            await sensitivity_proposals.propose(session, rules, change, reason, name, console.now())
    except Refused as refusal:
        return await _page(context, refused=str(refusal))
    return RedirectResponse("/sensitivity", 303)


@router.post("/sensitivity/{number}/{decision}")
async def decide(context: InPage, number: int, decision: Literal["approve", "reject"]) -> Response:
    """Let a change hold from now on, or not."""
    console, visitor = context.console, context.visitor
    try:
        async with console.database.begin() as session:
            await sensitivity_proposals.decide(session, number, decision == "approve", visitor.name, console.now())
            changes = await sensitivity_proposals.approved_changes(session)
    except LookupError:
        raise HTTPException(404, f"There is no proposal {number}.") from None
    except Refused as refusal:
        return await _page(context, refused=str(refusal))
    console.case_service.change_rules(changed_rules(console.case_service.rules, changes))
    return RedirectResponse("/sensitivity", 303)


async def _page(context: PageContext, refused: str = "") -> Response:
    async with context.console.database.read() as session:
        rows = await sensitivity_proposals.proposals(session)
    rules = context.console.case_service.rules
    thresholds = {fault: rules.thresholds(fault) for fault in FAULTS}
    return context.page(
        "sensitivity.html", 409 if refused else 200, active="sensitivity",
        proposals=rows, thresholds=thresholds, refused=refused, may_decide=context.visitor.may("supervise"),
    )  # fmt: skip
