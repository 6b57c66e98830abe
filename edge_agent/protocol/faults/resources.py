"""Catalogue entries: faults of memory, open files and load."""

from edge_agent.protocol.faults.entry import DetectorKind, Fault, Severity

RESOURCES_FAULTS = (
    Fault(
        code="memory.leak",
        detector=DetectorKind.TREND,
        severity=Severity.WARNING,
        component="memory",
        title="Memory is leaking",
        headline="Memory of {device} is running out",
        impact="the device becomes slow, then the kernel kills a program",
        advice=(
            "Request the list of programs by memory use (program names require the customer's consent).",
            "Restart the growing program to gain time; the chart shows how much.",
            "Check the release notes of its version for a leak, and report the version.",
        ),
        source="Out-of-memory killer, kernel mm/oom_kill.c; MemAvailable, proc(5)",
    ),
    Fault(
        code="fd.leak",
        detector=DetectorKind.TREND,
        severity=Severity.WARNING,
        component="`system`, or `process` for the process nearest to its own limit",
        title="Open files are leaking",
        headline="Open files of {device} ({component}) reach their limit",
        impact="programs cannot open files or connections",
        advice=(
            "Find the program with the most open files: count the entries of each /proc/*/fd.",
            "Restart it, and report its version: it does not close its files or sockets.",
        ),
        source="EMFILE and ENFILE, open(2); /proc/sys/fs/file-nr, proc(5)",
    ),
    Fault(
        code="oom.kill",
        detector=DetectorKind.RULE,
        severity=Severity.HIGH,
        component="memory",
        title="The kernel killed a program",
        headline="Memory of {device} ran out: the kernel killed a program",
        impact="a program ended or was restarted, and its unsaved data is lost",
        advice=(
            "Identify the program: the kernel messages contain a line 'Out of memory: Killed process'.",
            "Check memory before the event: a slow rise is a leak, a sudden one is a job too large for this device.",
            "Restart the killed program if it did not restart automatically.",
        ),
        source="/proc/vmstat, oom_kill (kernel mm/oom_kill.c)",
    ),
    Fault(
        code="load.unexplained",
        detector=DetectorKind.MODEL,
        severity=Severity.INFO,
        component="load",
        title="Load higher than CPU and disk explain",
        headline="{device} has more load than its CPU and disk use explain",
        impact="none yet; programs may be blocked by a drive or a network share that does not respond",
        advice=(
            "List the blocked programs: ps -eo stat,wchan,cmd, state D.",
            "The usual cause is a network share or USB drive that is no longer available.",
        ),
        source="models/artifacts: load by CPU and disk, learned from the fleet and from the device itself",
    ),
)
