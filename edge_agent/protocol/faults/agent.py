"""Catalogue entries: faults of the agent itself, missing readings, and unexplained anomalies."""

from edge_agent.protocol.faults.entry import DetectorKind, Fault, Severity

AGENT_FAULTS = (
    Fault(
        code="data.missing",
        detector=DetectorKind.RULE,
        severity=Severity.WARNING,
        component="what is no longer read: an interface, a drive, a file system, a metric, or `readings`",
        title="Readings are missing",
        headline="{device} no longer reads {component}",
        impact="a part of the device may have failed or been removed; faults that it would show are not detected",
        advice=(
            "Ask whether it was unplugged or switched off on purpose. If so, close the case as expected.",
            "If a drive or adapter disappeared unexpectedly, check its cable, its supply and the kernel messages.",
            "If all readings are missing, check the agent's log first.",
        ),
        source="series absent for 5 min after they had been read regularly",
    ),
    Fault(
        code="agent.store_damaged",
        detector=DetectorKind.RULE,
        severity=Severity.WARNING,
        component="`outbox`, the agent's own database",
        title="The agent's database was damaged",
        headline="{device} had to start a new outbox database",
        impact="none yet; but the cause (a worn card, or power cuts) may damage other files",
        advice=(
            "Check how many records were declared lost (see the device's page).",
            "Check the kernel messages for file system and I/O errors, and check for power cuts.",
            "Replace the card or drive if it happens again. The damaged file is kept next to the database.",
        ),
        source="PRAGMA quick_check, checksums, or a schema that this version does not know; sqlite.org/howtocorrupt",
    ),
    Fault(
        code="agent.over_budget",
        detector=DetectorKind.RULE,
        severity=Severity.INFO,
        component="the budget: `cpu`, `memory`, `sent` or `written`",
        title="The agent exceeds its budget",
        headline="The agent on {device} reduced its work: budget for {component} exceeded",
        impact="none; the agent samples more slowly and sends less until it is within its budget again",
        advice=(
            "Check the agent's usage in the chart, and whether the device is busier than others of its model.",
            "Raise the budget in the device's configuration, table `limits`, if the device has capacity.",
        ),
        source="the agent's own readings against `limits` in its configuration",
    ),
    Fault(
        code="anomaly.unknown",
        detector=DetectorKind.MODEL,
        severity=Severity.INFO,
        component="the metric that contributes most",
        title="Anomaly",
        headline="{device} behaves unusually ({component})",
        impact="none yet; the device's behaviour has changed in a way that no rule describes",
        advice=(
            "Compare the listed metrics with their expected range: do they indicate one cause?",
            "Ask whether something was changed at that time. If so, close the case as expected.",
        ),
        source="docs/adr/0007 and 0009: deviation of the device from its own last week",
    ),
)
