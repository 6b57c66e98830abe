"""Catalogue entries: faults of the clock and the services of the operating system."""

from edge_agent.protocol.faults.entry import Fault, Judge, Severity

SERVICES_FAULTS = (
    Fault(
        code="clock.unsynchronised",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="clock",
        title="Clock is not set any more",
        headline="No time server sets the clock of {device}",
        impact="timestamps go wrong, schedules run at the wrong time, and in the end secure connections fail",
        advice=(
            "Check whether the device reaches its time server: UDP port 123 is often blocked by a new firewall.",
            "Look at timedatectl: is the time service switched on?",
            "Certificates that are 'not yet valid' or 'expired' on this device have the same cause.",
        ),
        source="adjtimex(2), STA_UNSYNC; for information only on a device whose clock was never set since its start",
    ),
    Fault(
        code="service.failed",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a service, by its unit name; of a template's instance the template",
        title="Service has failed",
        headline="Service {component} of {device} has failed",
        impact="what this service does is not done any more: a function is missing, or a job did not run",
        advice=(
            "Read why: systemctl status, and journalctl -u, with the unit's name.",
            "Start it again (systemctl restart); if it fails again, the last lines of its log belong into the case.",
            "If nobody needs it, disable it or name it in services.exclude; systemctl reset-failed ends the finding.",
        ),
        source="systemd, ActiveState=failed (systemctl(1)), seen for 90 s",
    ),
    Fault(
        code="process.crash_loop",
        judge=Judge.RULE,
        severity=Severity.HIGH,
        component="a service, by its unit name; of a template's instance the template",
        title="Service is restarted again and again",
        headline="Service {component} of {device} is restarted again and again",
        impact="what this service does works for moments only, and each start costs time and wear",
        advice=(
            "Read the last lines before each start: journalctl -u, with the unit's name.",
            "Ask what was updated or configured when it began (the chart shows when), and take that back.",
            "Look at memory and disk space: both make programs fail that are well.",
            "If it ends by itself on purpose, name it in services.exclude; a timer suits that better.",
        ),
        source="systemd, NRestarts (org.freedesktop.systemd1(5)): 3 restarts within 1 h, 3 min or more from first to "
        "last; for information only where systemd restarts it after a clean end too and no failure was seen",
    ),
)
