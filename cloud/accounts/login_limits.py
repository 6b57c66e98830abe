"""Login limits: whoever guesses passwords waits longer and longer.

What flows in: names, addresses and the time. What flows out: how long the next attempt must wait.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

_Key = tuple[str, str]


@dataclass(slots=True)
class _Failures:
    count: int
    last: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class _Limit:
    """So many failures are free; then the next attempt must wait 2 s, 4 s, 8 s ... up to a bound."""

    free: int
    longest_s: float

    def delay(self, count: int) -> timedelta:
        # the exponent is bounded: 2.0 ** 1100 is no float
        return timedelta(seconds=min(2.0 ** min(count - self.free, 20), self.longest_s) if count > self.free else 0.0)


class Throttle:
    """Slows guessing down, by name at an address, by address, and by name from anywhere.

    From anywhere a name is limited late and shortly: a guesser elsewhere must not be able to lock Alice out. Failures
    are forgotten after an hour without another one, and with the process.
    """

    PAIR, ADDRESS, NAME = _Limit(5, 300.0), _Limit(25, 300.0), _Limit(50, 30.0)
    REMEMBERED = 10_000
    FORGOTTEN_AFTER = timedelta(hours=1)

    def __init__(self) -> None:
        self._failures: OrderedDict[_Key, _Failures] = OrderedDict()

    def wait_s(self, name: str, address: str, now: datetime) -> float:
        """Return how many seconds this name at this address must still wait; 0 when it may try."""
        waits = [self._failures[key].until for key in self._limits(name, address) if key in self._failures]
        return max(0.0, *((until - now).total_seconds() for until in waits), 0.0)

    def failed(self, name: str, address: str, now: datetime) -> None:
        """Count a wrong password."""
        for key, limit in self._limits(name, address).items():
            known = self._failures.pop(key, None)
            count = known.count + 1 if known and now - known.last < self.FORGOTTEN_AFTER else 1
            self._failures[key] = _Failures(count, now, now + limit.delay(count))
        while len(self._failures) > self.REMEMBERED:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of somebody who has proved to be themselves; the others of the address stay."""
        for key, limit in self._limits(name, address).items():
            if limit is self.PAIR:
                self._failures.pop(key, None)
            elif known := self._failures.get(key):
                known.count -= 1
                known.until = known.last

    def _limits(self, name: str, address: str) -> dict[_Key, _Limit]:
        network = _network(address)
        if not name:  # a guessed API token: its secret is too long to guess, and nobody else's may be held up
            return {("", network): self.ADDRESS}
        return {(name, network): self.PAIR, ("", network): self.ADDRESS, (name, ""): self.NAME}


def _network(address: str) -> str:
    """Return what one guesser has: an IPv4 address, or a /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address or "unknown"
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
