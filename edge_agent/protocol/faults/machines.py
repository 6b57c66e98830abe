"""Catalogue entries: faults of machines beside the device."""

from edge_agent.protocol.faults.entry import DetectorKind, Fault, Severity

MACHINES_FAULTS = (
    Fault(
        code="machine.anomaly",
        detector=DetectorKind.MODEL,
        severity=Severity.WARNING,
        component="a machine, by its name in the configuration",
        title="Machine behaves unlike its healthy start",
        headline="{component} at {device} behaves unlike it did when it was healthy",
        impact="the machine may work worse than before, or be about to fail",
        advice=(
            "Look at the channels named in the reason first: they carry most of the deviation.",
            "Ask whether somebody changed a setting, a valve or the load at that time.",
            "Have the machine inspected if nobody did: listen, feel for heat and vibration, look for leaks.",
            "If this is the new normal, let the device learn again: edge-agent machine reset, with the machine's name.",
        ),
        source="level, spread and change of its channels against its healthy start (docs/adr/0015); 10 s above the bar",
    ),
)
