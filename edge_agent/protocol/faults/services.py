"""Catalogue entries: faults of the clock and the services of the operating system."""

from edge_agent.protocol.faults.entry import DetectorKind, Fault, Severity

SERVICES_FAULTS = (
    Fault(
        code="clock.unsynchronised",
        detector=DetectorKind.RULE,
        severity=Severity.WARNING,
        component="clock",
        title="Clock is not synchronised",
        headline="The clock of {device} is not synchronised with a time server",
        impact="timestamps drift, scheduled jobs run at the wrong time, and eventually TLS connections fail",
        advice=(
            "Check whether the device can reach its time server: a new firewall often blocks UDP port 123.",
            "Run timedatectl and check that the time service is enabled.",
            "Certificates that are 'not yet valid' or 'expired' on this device have the same cause.",
        ),
        source="adjtimex(2), STA_UNSYNC; severity `info` on a device whose clock has not been set since boot",
    ),
    Fault(
        code="service.failed",
        detector=DetectorKind.RULE,
        severity=Severity.WARNING,
        component="a service, by its unit name; of a template's instance the template",
        title="Service has failed",
        headline="Service {component} of {device} has failed",
        impact="the function of this service is unavailable, or a job did not run",
        advice=(
            "Find the cause: systemctl status and journalctl -u, with the unit's name.",
            "Start it again (systemctl restart); if it fails again, attach the last lines of its log to the case.",
            "If it is not needed, disable it or add it to services.exclude; systemctl reset-failed clears the finding.",
        ),
        source="systemd, ActiveState=failed (systemctl(1)), seen for 90 s",
    ),
    Fault(
        code="process.crash_loop",
        detector=DetectorKind.RULE,
        severity=Severity.HIGH,
        component="a service, by its unit name; of a template's instance the template",
        title="Service restarts repeatedly",
        headline="Service {component} of {device} restarts repeatedly",
        impact="this service works only briefly between restarts, and each restart uses CPU time and disk writes",
        advice=(
            "Read the last log lines before each restart: journalctl -u, with the unit's name.",
            "Ask what was updated or reconfigured when it began (see the chart), and revert it.",
            "Check memory and disk space: a shortage of either makes healthy programs fail.",
            "If it exits by design, add it to services.exclude, or use a timer instead.",
        ),
        source="systemd, NRestarts (org.freedesktop.systemd1(5)): 3 restarts within 1 h, 3 min or more from first to "
        "last; severity `info` where systemd also restarts it after a clean exit and no failure was recorded",
    ),
)
