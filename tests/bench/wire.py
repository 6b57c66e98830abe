"""What telemetry costs on the wire, in each profile: bytes a sample and bytes a day, MQTT and TLS framing included.

What flows in: features of a device, second by second: this machine's, recorded now or before, and a virtual device's.
What flows out: `figures()`, for `make bench`. A sample is one reading of one series. TCP, IP and what comes down are
not counted. `python -m tests.bench.wire` prints a table.
"""

import argparse
import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_agent.clock import Clock, SystemClock
from edge_agent.collectors import Collection
from edge_agent.collectors.host import HostCollector
from edge_agent.collectors.machine import LinuxMachine
from edge_agent.collectors.self_usage import SelfUsageCollector
from edge_agent.config import AgentConfig
from edge_agent.detection.features import Features
from edge_agent.protocol import telemetry
from edge_agent.protocol.metrics import metric_of
from edge_agent.protocol.topics import Channel, Lane, topic
from edge_agent.telemetry_batches import batcher
from firmware_stubs.machine import VirtualMachine
from tests.builders import DEVICE, STREAM, a_presence, an_instant
from tests.clocks import HandClock

PROFILES = ("findings-only", "frugal", "full")
METRICS = 40
MACHINE_S = 910  # three rows of aggregates, and their end
VIRTUAL_S = 6 * 3600
DAY_S = 86_400

# TLS 1.2 with AES-GCM: 5 bytes of header, 8 of nonce, 16 of tag a record (RFC 5246, 5288). TLS 1.3 has 22: 5 of header,
# 1 of content type, 16 of tag (RFC 8446, section 5.2). OpenSSL 3 showed the same. The dearer one is counted.
TLS_RECORD, TLS_RECORD_HOLDS = 29, 16_384
TLS_HANDSHAKE = 1_700  # what a client sends, with an RSA-2048 certificate of its own: 1,334 in TLS 1.2, 1,695 in 1.3

History = Sequence[tuple[float, Mapping[str, float]]]  # uptime and features of each second


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What one profile costs one device. Everything it sends counts: telemetry, presence, pings, MQTT's own answers."""

    samples: int  # readings of series that were taken
    bytes_a_sample: float  # telemetry's publications for each reading taken
    bytes_a_day: float
    extrapolated: bool  # the recording was shorter than one batch


def figures(machine: History | None = None) -> dict[str, dict[str, dict[str, float]]]:
    """Return source -> profile -> figures. Without a recording this machine is recorded for a quarter of an hour."""
    clock = HandClock()
    virtual = record(clock, Collection((HostCollector(VirtualMachine(clock, DEVICE)),)), VIRTUAL_S)
    histories = {"this machine": machine or record_machine(MACHINE_S), "virtual device": virtual}
    return {
        source: {profile: asdict(figure(profile, dearest(history, METRICS))) for profile in PROFILES}
        for source, history in histories.items()
    }


def record_machine(seconds: int) -> History:
    """Read this machine once a second."""
    return record(SystemClock(), Collection((HostCollector(LinuxMachine()), SelfUsageCollector())), seconds)


def record(clock: Clock, collection: Collection, seconds: int) -> History:
    """Return the features of each second; those of the first two are left out, since rates need a beginning."""
    features, history, never = Features(), [], threading.Event()
    start_s = clock.now().uptime_s
    for second in range(seconds + 2):
        clock.wait_until(start_s + second, never)
        now = clock.now()
        history.append((now.uptime_s, dict(features.step(collection.sample(now)))))
    return history[2:]


def dearest(history: History, count: int) -> History:
    """Keep the series that change most, in bits: a device with few metrics has the lively ones too."""
    names = sorted({name for _, features in history for name in features})

    def bits(name: str) -> float:
        values = [features.get(name, 0.0) / metric_of(name).resolution for _, features in history]
        return float(np.log2(1 + np.abs(np.diff(np.round(values)))).sum())

    kept = set(sorted(names, key=bits)[-count:])
    return [(at_s, {name: value for name, value in features.items() if name in kept}) for at_s, features in history]


def figure(profile: str, history: History) -> Figure:
    """Send a history in a profile; what the last batch had unfinished does not count, unless there is no other.

    A batch has a fixed cost and one for each row. Where no batch is complete, what one row and all rows cost is drawn
    on to the length of a batch.
    """
    seconds, sizes = sent(profile, history)
    samples_a_second = sum(len(features) for _, features in history) / len(history)
    extrapolated = profile == "frugal" and len(sizes) == 1 and seconds < 3600
    if extrapolated:
        _, (first,) = sent(profile, history[:303])
        rows = seconds / 300
        seconds, sizes = 3600, [first + (sizes[0] - first) / (rows - 1) * 11]
    spent = sum(sizes)
    answers = len(sizes) * tls(4)  # the PUBACKs of the cloud's acknowledgements
    return Figure(
        samples=sum(len(features) for _, features in history),
        bytes_a_sample=spent / (seconds * samples_a_second),
        bytes_a_day=(spent + answers) * DAY_S / seconds + link_a_day(),
        extrapolated=extrapolated,
    )


def sent(profile: str, history: History) -> tuple[float, list[float]]:
    """Return how many seconds the batches of a history cover, and the bytes that each takes to send."""
    batches = batcher(profile, 0, 1.0)
    if batches is None:
        return len(history), []
    batches_sent = [batch for at_s, features in history if (batch := batches.step(features, an_instant(at_s)))]
    if not batches_sent and (unfinished := batches.finish()):
        batches_sent.append(unfinished)
    name = topic(DEVICE, Lane.TELEMETRY)
    sizes = [float(published(name, telemetry.encode(STREAM, 1, 9, [telemetry.pack(batch)]))) for batch in batches_sent]
    return sum(batch.period_s * len(batch.columns[0].values) for batch in batches_sent), sizes


def published(name: str, payload: bytes) -> int:
    """Return the bytes of a QoS 1 publication: fixed header, topic, packet id, payload (MQTT 3.1.1, section 3.3)."""
    rest = 2 + len(name) + 2 + len(payload)
    return tls(1 + length_bytes(rest) + rest)


def length_bytes(rest: int) -> int:
    """Return how many bytes MQTT needs to say a packet's length (section 2.2.3)."""
    return next(count for count in (1, 2, 3, 4) if rest < 128**count)


def tls(size: int) -> int:
    """Return the bytes of one packet as TLS records."""
    return size + TLS_RECORD * math.ceil(size / TLS_RECORD_HOLDS)


def link_a_day() -> float:
    """Return what a link costs that is made once a day and holds: connect with will, subscribe, presence, pings.

    Each keepalive counts as a ping, although paho needs none where something else was just sent.
    """
    presence, where = a_presence(), topic(DEVICE, Channel.PRESENCE)
    connect = 2 + 10 + 2 + len(DEVICE) + 2 + len(where) + 2 + len(presence)
    subscribe = sum(tls(2 + 2 + 2 + len(topic(DEVICE, channel)) + 1) for channel in (Channel.ACK, Channel.EXPECTED))
    pings = DAY_S / AgentConfig().mqtt.keepalive_s * tls(2)
    return TLS_HANDSHAKE + tls(connect) + subscribe + published(where, presence) + pings


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=MACHINE_S, help="how long to record this machine")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the recording here")
    parser.add_argument("--recorded", type=Path, metavar="FILE", help="read this recording instead")
    arguments = parser.parse_args()
    if arguments.recorded:
        machine = [(at_s, values) for at_s, values in map(json.loads, arguments.recorded.read_text().splitlines())]
    else:
        machine = list(record_machine(arguments.seconds))
    if arguments.keep:
        arguments.keep.write_text("".join(json.dumps(row) + "\n" for row in machine))
    print(f"{'':16}{'profile':16}{'samples':>10}{'bytes a sample':>16}{'kB a day':>10}")
    for source, profiles in figures(machine).items():
        for profile, one in profiles.items():
            each, day = one["bytes_a_sample"], one["bytes_a_day"] / 1000
            note = "  (drawn on to a whole batch)" if one["extrapolated"] else ""
            print(f"{source:16}{profile:16}{one['samples']:>10}{each:>16.3f}{day:>10.1f}{note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
