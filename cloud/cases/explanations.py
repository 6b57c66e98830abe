"""Explained by: which fault is the cause of which others on the same device. Pure.

An explained episode joins the case of its cause, opens none of its own and does not raise that case's severity. A
critical episode is never explained away. When the cause is resolved and its consequence still fails, the consequence is
evaluated on its own again.
"""

from collections.abc import Iterable

from cloud.cases.episodes import Episode, EpisodeState
from edge_agent.protocol.faults import Severity

_SERVICES = frozenset({"service.failed", "process.crash_loop"})

# A cause and what follows from it, each by the catalogue's own description of the two faults.
EXPLAINS: dict[str, frozenset[str]] = {
    "disk.filling": _SERVICES | {"agent.store_damaged"},  # writes fail
    "inodes.filling": _SERVICES,  # no file can be created
    "storage.read_only": _SERVICES | {"agent.store_damaged", "storage.io_errors"},
    "storage.io_errors": _SERVICES | {"disk.slow", "agent.store_damaged", "load.unexplained"},
    "storage.worn": frozenset({"disk.slow", "storage.io_errors"}),
    "memory.leak": _SERVICES | {"oom.kill", "load.unexplained"},
    "oom.kill": _SERVICES,  # the kernel killed it
    "fd.leak": _SERVICES,  # no file or connection can be opened
    "power.undervoltage": frozenset({"thermal.throttled", "storage.io_errors", "sensor.silent", "load.unexplained"}),
    "thermal.cooling": frozenset({"thermal.throttling", "thermal.throttled"}),
    "thermal.throttling": frozenset({"thermal.throttled", "load.unexplained"}),
    "thermal.throttled": frozenset({"load.unexplained"}),
    "disk.slow": frozenset({"load.unexplained"}),
    "device.absent": frozenset({"device.stalled"}),
}


def can_explain(cause: Episode, effect: Episode) -> bool:
    """Whether one unresolved episode of a device is the cause of another one."""
    is_there = cause.state is not EpisodeState.RESOLVED and cause.severity is not Severity.INFO
    return is_there and effect.severity is not Severity.CRITICAL and effect.fault in EXPLAINS.get(cause.fault, ())


def find_cause(effect: Episode, others: Iterable[tuple[int, Episode]]) -> int | None:
    """Return the id of the episode that explains this one: the most urgent, then the oldest; None if there is none."""
    causes = [(id_, cause) for id_, cause in others if cause.explained_by is None and can_explain(cause, effect)]
    if not causes:
        return None
    return min(causes, key=lambda pair: (pair[1].severity.rank, pair[1].first_at, pair[0]))[0]
