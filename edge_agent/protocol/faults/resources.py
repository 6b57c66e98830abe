"""Catalogue entries: faults of memory, open files and load."""

from edge_agent.protocol.faults.entry import Fault, Judge, Severity

RESOURCES_FAULTS = (
    Fault(
        code="memory.leak",
        judge=Judge.TREND,
        severity=Severity.WARNING,
        component="memory",
        title="Memory is leaking",
        headline="Memory of {device} is running out",
        impact="the kernel kills a program, and before that the device becomes slow",
        advice=(
            "Ask for the list of programs by memory (the customer's consent is needed for names).",
            "Restarting the growing program buys time; the chart shows how much.",
            "Check the release notes of its version for a leak, and report the version.",
        ),
        source="Out-of-memory killer, kernel mm/oom_kill.c; MemAvailable, proc(5)",
    ),
    Fault(
        code="fd.leak",
        judge=Judge.TREND,
        severity=Severity.WARNING,
        component="`system`, or `process` for the process nearest to its own limit",
        title="Open files are leaking",
        headline="Open files of {device} ({component}) reach their limit",
        impact="programs can't open files or connections any more",
        advice=(
            "See which program holds the most: ls /proc/*/fd | sort by count.",
            "Restart it, and report its version: it forgets to close files or sockets.",
        ),
        source="EMFILE and ENFILE, open(2); /proc/sys/fs/file-nr, proc(5)",
    ),
    Fault(
        code="oom.kill",
        judge=Judge.RULE,
        severity=Severity.HIGH,
        component="memory",
        title="The kernel killed a program",
        headline="Memory of {device} ran out: the kernel killed a program",
        impact="a program is gone or was restarted, with what it had not saved",
        advice=(
            "Find out which one: the kernel's messages have a line 'Out of memory: Killed process'.",
            "Look at memory before it: a slope is a leak, a cliff is a job too large for this device.",
            "Restart what was killed if it did not come back by itself.",
        ),
        source="/proc/vmstat, oom_kill (kernel mm/oom_kill.c)",
    ),
    Fault(
        code="load.unexplained",
        judge=Judge.MODEL,
        severity=Severity.INFO,
        component="load",
        title="More load than work",
        headline="{device} has more load than its work explains",
        impact="nothing yet; programs may be stuck, waiting for a drive or a network share that does not answer",
        advice=(
            "List the programs that wait without end: ps -eo stat,wchan,cmd, state D.",
            "A network share or a USB drive that went away is the usual cause.",
        ),
        source="models/artifacts: what a fleet and the device itself know of load by CPU and disk",
    ),
)
