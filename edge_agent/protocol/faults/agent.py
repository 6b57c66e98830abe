"""Catalogue entries: faults of the agent itself, missing readings, and unexplained anomalies."""

from edge_agent.protocol.faults.entry import Fault, Judge, Severity

AGENT_FAULTS = (
    Fault(
        code="data.missing",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="the thing that is not read any more: an interface, a drive, a file system, a metric, or `readings`",
        title="Readings are missing",
        headline="{device} no longer reads {component}",
        impact="a part of the device may have failed or been removed; what it would show stays unseen",
        advice=(
            "Ask whether it was unplugged or switched off on purpose; if so, close as expected.",
            "A drive or adapter that went away by itself: check its cable, its supply and the kernel's messages.",
            "If all readings are missing, look at the agent's own log first.",
        ),
        source="series that stayed away for 5 min after they had been there steadily",
    ),
    Fault(
        code="agent.store_damaged",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="`outbox`, the agent's own store",
        title="The agent's store was damaged",
        headline="{device} had to begin its store anew",
        impact="nothing yet; but what damaged this file damages others: a card that wears out, or power cuts",
        advice=(
            "See how many records were declared lost with it (the device's page).",
            "Look for file system and I/O errors in the kernel's messages, and for power cuts.",
            "Replace the card or drive if it happens again; the damaged file is kept beside the store.",
        ),
        source="PRAGMA quick_check, checksums, or a schema that this version does not know; sqlite.org/howtocorrupt",
    ),
    Fault(
        code="agent.over_budget",
        judge=Judge.RULE,
        severity=Severity.INFO,
        component="the budget: `cpu`, `memory`, `sent` or `written`",
        title="The agent is over its budget",
        headline="The agent on {device} does less, to keep within its budget for {component}",
        impact="nothing; it samples more slowly and sends less until it is back within its budget",
        advice=(
            "See in the chart what the agent uses, and whether the device is busier than others of its model.",
            "Raise the budget in the device's configuration, table `limits`, if it can be afforded.",
        ),
        source="the agent's own readings against `limits` in its configuration",
    ),
    Fault(
        code="anomaly.unknown",
        judge=Judge.MODEL,
        severity=Severity.INFO,
        component="the metric that carries most of it",
        title="Unusual behaviour",
        headline="{device} behaves unusually ({component})",
        impact="nothing yet; something has changed that nobody listed",
        advice=(
            "Compare the listed metrics with their expected range: do they point at one cause?",
            "Ask whether something was changed at that time; if so, close as expected.",
        ),
        source="docs/adr/0007 and 0009: how far the device strays from its own last week",
    ),
)
