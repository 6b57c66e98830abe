"""Wi-Fi collector: signal strength of the access point. Needs no privilege; network names are not read.

What flows in: /proc/net/wireless below a root (kernel net/wireless/wext-proc.c). What flows out: `{series: value}`.
Adapters of Wi-Fi 7 are not listed there, and some kernels lack the file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_agent.collectors.cached import Cached
from edge_agent.collectors.collection import Reading
from edge_agent.collectors.files import read_text
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series

_EVERY_S = 10.0
_PLAUSIBLE_DBM = (-120.0, 0.0)  # zero means not connected, and some drivers report a share instead of dBm


class WifiCollector:
    """Reads every adapter that is connected, every ten seconds."""

    name = "wifi"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._cached = Cached(_EVERY_S, self._read)

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return the signal of each connected adapter."""
        return self._cached.at(now)

    def _read(self) -> Iterator[Reading]:
        for line in (read_text(self._root / "proc/net/wireless") or "").splitlines()[2:]:
            adapter, _, rest = line.partition(":")
            try:
                dbm = float(rest.split()[2])
            except (IndexError, ValueError):
                continue
            if _PLAUSIBLE_DBM[0] < dbm < _PLAUSIBLE_DBM[1]:
                yield series("forewarn.wifi.signal", network__interface__name=adapter.strip()), dbm
