"""The fault catalogue: every fault a device can name, what the customer would notice, and what staff can do.

The catalogue is the same on both sides: the device takes the starting severity from it, the console takes the words.
"""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How urgent a finding or a case is, most urgent first."""

    CRITICAL = "critical"  # the customer is about to notice, or already loses data
    HIGH = "high"  # the customer will notice within hours
    WARNING = "warning"  # the customer will notice within a day, or something is certainly not as it should be
    INFO = "info"  # worth keeping; opens no case

    @property
    def rank(self) -> int:
        """0 for the most urgent."""
        return list(Severity).index(self)


class Judge(StrEnum):
    """The three kinds of judge on the device."""

    RULE = "rule"  # certain: a state that is wrong in itself
    TREND = "trend"  # a series on its way to a limit
    MODEL = "model"  # a pattern that nobody listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One entry of the catalogue.

    `headline` has the places ``{component}`` and ``{device}``; `impact` is what the customer would notice, as a clause
    ("writes to it fail"); `advice` are the steps for a support agent, in order; `source` says where the entry's
    knowledge comes from.
    """

    code: str
    judge: Judge
    severity: Severity
    component: str
    title: str
    headline: str
    impact: str
    advice: tuple[str, ...]
    source: str


_ENTRIES = (
    Fault(
        code="disk.filling",
        judge=Judge.TREND,
        severity=Severity.WARNING,
        component="a mounted file system, by its mount point",
        title="File system is filling up",
        headline="File system {component} of {device} is filling up",
        impact="writes fail: recordings, logs and databases stop, updates break",
        advice=(
            "Ask what was installed or switched on when the rise began (the chart shows when).",
            "Find the folder that grows: du -x --max-depth=2 on the file system, largest last.",
            "Rotate or delete what grows, then stop its cause. The device clears the finding by itself.",
        ),
        source="ENOSPC, write(2)",
    ),
    Fault(
        code="inodes.filling",
        judge=Judge.TREND,
        severity=Severity.WARNING,
        component="a mounted file system, by its mount point",
        title="File system runs out of inodes",
        headline="File system {component} of {device} runs out of inodes",
        impact="no new file can be created although there is space left",
        advice=(
            "Look for a folder with very many small files: du --inodes -x --max-depth=3.",
            "Usual causes are mail queues, session files and caches without an expiry.",
            "Delete the old ones and give their writer an expiry.",
        ),
        source="ENOSPC for inodes, open(2)",
    ),
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
        code="storage.read_only",
        judge=Judge.RULE,
        severity=Severity.CRITICAL,
        component="a mounted file system, by its mount point",
        title="File system went read-only",
        headline="File system {component} of {device} went read-only",
        impact="nothing can be saved any more, and after a restart the device may not come back",
        advice=(
            "Do not restart the device yet: what is in memory may be all that is left.",
            "Save what can be reached, then replace the card or drive.",
            "Send the kernel's messages of the last hour with the case.",
        ),
        source="ext4 error handling: mountinfo options ro, emergency_ro, shutdown (kernel fs/ext4/super.c)",
    ),
    Fault(
        code="thermal.throttling",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a temperature sensor, by its name",
        title="Too hot for too long",
        headline="{device} stays too hot at {component}",
        impact="the device slows itself down, and ages fast",
        advice=(
            "Ask whether the device was moved, covered, or stands in the sun.",
            "Check that its fan turns and its vents are free.",
            "Compare the load in the chart: hot without load points to cooling.",
        ),
        source="Raspberry Pi firmware slows the ARM cores from 80 to 85 Cel (documentation, frequency-management)",
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
        source="models/artifacts: score of the shipped network, calibrated on the device",
    ),
)

FAULTS: dict[str, Fault] = {entry.code: entry for entry in _ENTRIES}
