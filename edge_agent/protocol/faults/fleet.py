"""Catalogue entries: faults that the cloud itself observes, because nobody else can report them."""

from edge_agent.protocol.faults.entry import DetectorKind, Fault, Severity

FLEET_FAULTS = (
    Fault(
        code="device.absent",
        detector=DetectorKind.RULE,
        severity=Severity.HIGH,
        component="`connection`",
        title="Device is absent",
        headline="{device} is not connected",
        impact="the device is off or cut off: what depends on it may have stopped, and no fault of it is detected",
        advice=(
            "Check whether other devices of the same site are absent too: then it is the site's power or network.",
            "Ask whether it was switched off or moved on purpose. If so, close the case as expected.",
            "Check its power and its network on the spot. Its agent reports by itself once it is back.",
        ),
        source="the broker's last will, and `absence.absent_after_s`; docs/adr/0018",
    ),
    Fault(
        code="device.stalled",
        detector=DetectorKind.RULE,
        severity=Severity.HIGH,
        component="`readings`",
        title="Device is connected but reports nothing",
        headline="{device} is connected, but its readings have stopped",
        impact="none yet; but no fault of the device is detected while it reports nothing",
        advice=(
            "Restart the agent: systemctl restart edge-agent. It has kept its records and sends them.",
            "If that does not help, check with top and the kernel messages whether the device itself hangs.",
            "Check the dead letters of the device: it may send what the cloud can't read.",
        ),
        source="no telemetry for `absence.missed_reports` times the interval that the device announces; docs/adr/0018",
    ),
    Fault(
        code="ingest.dead_letters",
        detector=DetectorKind.RULE,
        severity=Severity.WARNING,
        component="the topic without its root, `pump-07/findings`, or `pump-07 above its limits`",
        title="Records are set aside again and again",
        headline="Records of {component} are set aside again and again",
        impact="what the device reports in these records is missing: faults may not be seen",
        advice=(
            "Read the cause in the case, and the messages at /api/v1/dead-letters.",
            "Compare the versions of agent and cloud: update the older one.",
            "If a number was used twice, its store was copied or restored: start its agent with a new store.",
        ),
        source="`pipeline.dead_letters` dead letters of a topic, or `pipeline.dropped` dropped messages of a device",
    ),
    Fault(
        code="ingest.stopped",
        detector=DetectorKind.RULE,
        severity=Severity.CRITICAL,
        component="`broker` or `database`",
        title="The cloud receives no messages",
        headline="The cloud receives no messages ({component})",
        impact="no device is being watched; devices keep their records and send them later",
        advice=(
            "Check whether the broker runs, and whether the cloud can reach it.",
            "Check the log of the cloud: it names the error.",
            "Check the disk and the database of the cloud.",
        ),
        source="no connection to the broker, or no commit while messages wait, for `pipeline.stopped_after_s`",
    ),
)
