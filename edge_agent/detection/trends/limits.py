"""Limits: everything in a sample that has a limit, with its headroom.

What flows in: the features of a sample. What flows out: a Limit for each quantity that can run out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_agent.protocol.metrics import series_attributes, series_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A quantity with a limit. `headroom` in the metric's unit is 0 where users notice."""

    fault: str
    component: str
    series: str
    headroom: float
    total: float | None
    rising: bool  # the series itself rises towards its limit (open files), instead of falling (free bytes)
    min_span_s: float
    meaning: str
    outlives_boot: bool = False  # a reboot does not restore headroom
    mirrors: tuple[str, ...] = ()  # series that show the same quantity from the other side


def limits_in(values: Mapping[str, float]) -> Iterator[Limit]:
    """Yield every quantity in a sample that has a limit."""
    for series, value in values.items():
        name = series_name(series)
        if name in _FREE and series.endswith("state=free}"):
            fault, min_span_s, meaning = _FREE[name]
            mirror = series.replace("state=free}", "state=used}")
            used = values.get(mirror)
            mountpoint = series_attributes(series)["system.filesystem.mountpoint"]
            total = None if used is None else value + used
            yield Limit(
                fault=fault, component=mountpoint, series=series, headroom=value, total=total, rising=False,
                min_span_s=min_span_s, meaning=meaning, outlives_boot=True, mirrors=(mirror,),
            )  # fmt: skip
    if (available := values.get("system.linux.memory.available")) is not None:
        yield Limit(
            fault="memory.leak", component="memory", series="system.linux.memory.available", headroom=available,
            total=values.get("system.memory.limit"), rising=False, min_span_s=160.0, meaning="no memory left",
            mirrors=_MEMORY,
        )  # fmt: skip
    yield from _file_limits(values)


_MEMORY = tuple(f"system.memory.usage{{system.memory.state={state}}}" for state in ("used", "free"))
# Shortest spans of a trend. Free bytes need 20 s, since a disk can be full in a minute. Memory use rises with every
# program that starts: three minutes separate a leak from that. Inodes are in between.
_FREE = {
    "system.filesystem.usage": ("disk.filling", 20.0, "full"),
    "system.filesystem.inodes.usage": ("inodes.filling", 60.0, "no inodes left"),
}


def _file_limits(values: Mapping[str, float]) -> Iterator[Limit]:
    used, limit = (values.get(f"forewarn.file_descriptor.{what}") for what in ("usage", "limit"))
    if used is not None and limit is not None:
        yield Limit(
            fault="fd.leak", component="system", series="forewarn.file_descriptor.usage", headroom=limit - used,
            total=limit, rising=True, min_span_s=60.0, meaning="open-file limit reached",
        )  # fmt: skip
    share = values.get("forewarn.process.file_descriptor.utilization")
    if share is not None:
        yield Limit(
            fault="fd.leak", component="process", series="forewarn.process.file_descriptor.utilization",
            headroom=1 - share, total=1.0, rising=True, min_span_s=160.0,
            meaning="open-file limit of the process reached",
        )  # fmt: skip
