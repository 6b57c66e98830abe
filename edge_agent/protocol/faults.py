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
        code="storage.io_errors",
        judge=Judge.RULE,
        severity=Severity.HIGH,
        component="a file system, by its partition",
        title="File system reports errors",
        headline="File system on {component} of {device} reports errors",
        impact="files are damaged or can't be read, and the file system may stop to accept writes",
        advice=(
            "Save what matters on the device first: the card or drive may be failing.",
            "Read the kernel's messages: I/O errors point to the drive, checksum errors alone may follow a power cut.",
            "Have the file system checked at the next start (fsck); the count, and this finding, end with that.",
            "If errors come back after the check, replace the card or drive.",
        ),
        source="ext4 superblock, /sys/fs/ext4/*/errors_count (kernel fs/ext4/sysfs.c)",
    ),
    Fault(
        code="storage.worn",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a flash drive, by its name",
        title="Flash is worn out",
        headline="Flash {component} of {device} is nearly worn out",
        impact="nothing yet; within weeks or months writes fail and data is lost",
        advice=(
            "Plan the exchange of the module or drive, with a backup before it.",
            "Look at the writes in the chart: a log or database that writes all the time wears out the next one too.",
        ),
        source="eMMC life_time and pre_eol_info (JEDEC JESD84-B51, kernel drivers/mmc/core/mmc.c), read once a start",
    ),
    Fault(
        code="power.undervoltage",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a voltage monitor, by its name",
        title="Supply voltage too low",
        headline="{device} does not get enough voltage",
        impact="the device slows down, USB devices drop out, it restarts, and files may be damaged",
        advice=(
            "Ask which supply and cable are used; a phone charger or a long thin cable is the usual cause.",
            "Unplug what draws power over USB, and see whether the warning ends.",
            "Have the supply replaced by the one made for this board.",
        ),
        source="hwmon rpi_volt, in0_lcrit_alarm (kernel drivers/hwmon/raspberrypi-hwmon.c): below 4.63 V within 2 s",
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
        code="sensor.stuck",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a sensor, by its name",
        title="Sensor stands still",
        headline="Sensor {component} of {device} stands still",
        impact="nothing yet; but heat or another fault that this sensor should show stays unseen",
        advice=(
            "Compare it with the load and with other sensors: do they move while this one does not?",
            "Restart the device; if the sensor stays stuck, its chip or cable is broken.",
        ),
        source="the sensor's own past: unchanged for 4 h and for 100 times as long as it usually stands still",
    ),
    Fault(
        code="sensor.silent",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a sensor, by its name",
        title="Sensor is silent",
        headline="Sensor {component} of {device} can't be read any more",
        impact="nothing yet; but heat or another fault that this sensor should show stays unseen",
        advice=(
            "Ask whether the part was unplugged or switched off (a drive, a wireless chip).",
            "Look for its driver in the kernel's messages; restart the device if it gave up.",
        ),
        source="its readings stayed away for 5 min after they had been there for at least 10 min",
    ),
    Fault(
        code="sensor.out_of_range",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a sensor, by its name",
        title="Sensor reads what can't be",
        headline="Sensor {component} of {device} reads what can't be",
        impact="nothing yet; but whatever relies on this sensor acts on nonsense, a fan among it",
        advice=(
            "Check the sensor's cable and connector: an open or shorted line reads as an extreme.",
            "Replace the sensor if it stays so after a restart.",
        ),
        source="what is physically possible: -45 to 150 Cel, 0 to 30,000 rpm; it had read sensibly before",
    ),
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
        code="thermal.throttled",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="cpu",
        title="Firmware slows the device down",
        headline="{device} is so hot that its firmware slows the {component} down",
        impact="everything takes longer, and pictures or sound may falter under load",
        advice=(
            "Ask whether the device was moved, covered, or stands in the sun.",
            "Check that its fan turns and its vents are free, and that its heat sink sits firmly.",
            "If it stands for information only, the board has reached its soft limit of 60 °C: that is by design.",
        ),
        source="Raspberry Pi firmware, get_throttled (documentation, os/graphics-utilities): capped or throttled for "
        "60 s, and not for want of voltage. Needs the group of /dev/vcio (`video`)",
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
    Fault(
        code="battery.worn",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a battery, by its name",
        title="Battery is worn out",
        headline="Battery {component} of {device} is worn out",
        impact="the device runs for half as long without mains, or goes off at once when it is unplugged",
        advice=(
            "Ask whether the cells have swollen; if so, the device must not be charged any more.",
            "Plan the exchange of the battery; what an uninterruptible supply backs up is at risk until then.",
        ),
        source="/sys/class/power_supply: *_full against *_full_design at .5 or below, or health Dead or Unspecified "
        "failure, for 1 h (kernel Documentation/ABI/testing/sysfs-class-power)",
    ),
    Fault(
        code="wifi.weak",
        judge=Judge.RULE,
        severity=Severity.WARNING,
        component="a wireless adapter, by its name",
        title="Wi-Fi signal is too weak",
        headline="{device} hardly hears its access point ({component})",
        impact="transfers are slow and break off, and the device drops off the network",
        advice=(
            "Ask whether the device, the access point or a large piece of furniture was moved.",
            "Check the antenna and its plug; metal cases and screens shield it.",
            "Bring the access point nearer, or use a cable.",
        ),
        source="/proc/net/wireless: -85 dBm or less for 15 min; IEEE 802.11 asks receivers for -82 dBm at 6 Mbit/s",
    ),
    Fault(
        code="thermal.cooling",
        judge=Judge.MODEL,
        severity=Severity.INFO,
        component="a temperature sensor of the processor, by its name",
        title="Hotter than its load explains",
        headline="{device} is hotter at {component} than its load explains",
        impact="nothing yet; under full load, or on a hot day, the device slows itself down",
        advice=(
            "Ask whether the device was moved, covered, put into a case, or stands in the sun or beside a heater.",
            "Check that its fan turns, its vents are free, and its heat sink sits firmly.",
            "Compare temperature and CPU in the chart: both risen together is load, temperature alone is cooling.",
        ),
        source="models/artifacts: what a fleet and the device itself know of temperature by CPU load",
    ),
    Fault(
        code="disk.slow",
        judge=Judge.MODEL,
        severity=Severity.INFO,
        component="a drive, by its name; `disks` where there are several",
        title="Slower than its traffic explains",
        headline="Transfers of {device} ({component}) take longer than their kind did",
        impact="nothing yet; programs wait longer for the drive, and a card that slows down may be failing",
        advice=(
            "Ask for what was installed or moved to the drive: a new kind of traffic looks the same.",
            "Look for errors of the drive in the kernel's messages, and at its wear if it tells.",
            "Save what matters if it stays slow: cards and drives slow down before they fail.",
        ),
        source="models/artifacts: what a fleet and the device itself know of busy time by transfers",
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

FAULTS: dict[str, Fault] = {entry.code: entry for entry in _ENTRIES}
