"""`python -m tests.fuzz`: bad messages through a real Mosquitto to a live cloud, with a healthy device in between.

The cloud must neither crash nor stall nor log an error of its own. Each message must be taken (dead-lettered ones
included) or counted as dropped, and the healthy device's findings must be acknowledged throughout. The last line of the
output is JSON; exit code 0 only if all of that held.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_agent.protocol.topics import ROOT
from firmware_stubs.cloud_client import Console
from firmware_stubs.processes import free_port, running_cloud, running_mosquitto
from tests.builders import a_finding, an_envelope, an_id
from tests.cloud.pump import a_pump
from tests.mutations import mutated
from tests.wire import Publisher, packet

DEVICES = 200  # whose names the bad messages bear
BEHIND_MAX = 4000  # messages that the cloud may be behind
STALL_S = 60.0
OUR_FAULT = "this is a bug"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of all messages."""

    seed: int
    published: int  # bad ones, and those of the healthy device
    taken: int  # committed, dead-lettered ones included
    dead_lettered: int  # messages, and single records of messages
    dropped: dict[str, int]
    unaccounted: int
    our_faults: int  # lines of the cloud's log in which it blames itself
    healthy_acked: int
    slowest_ack_s: float
    seconds: float

    @property
    def good(self) -> bool:
        """Whether everything was as it must be."""
        return self.unaccounted == 0 and self.our_faults == 0 and self.healthy_acked > 0


class Healthy:
    """A device that says one finding after the other, and waits for each acknowledgement."""

    def __init__(self, port: int) -> None:
        self.sent = self.acked = 0
        self.slowest_s = 0.0
        self._port, self._done = port, threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._talk()))

    def start(self) -> None:
        """Begin to talk."""
        self._thread.start()

    def stop(self) -> None:
        """Stop talking, after the last acknowledgement."""
        self._done.set()
        self._thread.join(STALL_S)

    async def _talk(self) -> None:
        async with a_pump(self._port, timeout_s=None) as pump:
            while not self._done.is_set():
                began = time.monotonic()
                async with asyncio.timeout(STALL_S):
                    ack, sent = await pump.publish_until_acked(
                        an_envelope(self.acked + 1, a_finding(), stream=an_id(77)), patience_s=2.0
                    )
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.acked = ack.up_to
                self.sent += sent
                await asyncio.sleep(0.1)


def fuzz(folder: Path, messages: int, seed: int) -> Verdict:
    """Send that many bad messages. Raises SetupError, ConnectionError or TimeoutError when something stands still."""
    mqtt_port, web_port = free_port(), free_port()
    config = folder / "cloud.toml"
    config.write_text("[ingest]\ndevice_kib_s = 1048576\n")  # what is dropped at the door tests no decoder
    options = ("--broker", f"mqtt://127.0.0.1:{mqtt_port}", "--config", str(config))
    began = time.monotonic()
    with (
        running_mosquitto(folder, mqtt_port, "max_queued_messages 0"),
        running_cloud(folder, web_port, mqtt_port, *options) as (console, cloud),
    ):
        healthy = Healthy(mqtt_port)
        healthy.start()
        try:
            _flood(mqtt_port, console, healthy, random.Random(seed), messages)
        finally:
            healthy.stop()
        published = messages + healthy.sent
        counts = _settled(console, published, 0)
        if cloud.poll() is not None:
            raise ConnectionError("the cloud has ended")
    return Verdict(
        seed=seed,
        published=published,
        taken=counts["taken"],
        dead_lettered=counts["dead_lettered"],
        dropped=counts["dropped"],
        unaccounted=published - _accounted(counts),
        our_faults=(folder / "cloud.log").read_text().count(OUR_FAULT),
        healthy_acked=healthy.acked,
        slowest_ack_s=round(healthy.slowest_s, 3),
        seconds=round(time.monotonic() - began, 1),
    )


def _flood(port: int, console: Console, healthy: Healthy, rng: random.Random, messages: int) -> None:
    while not healthy.acked:  # the cloud listens
        time.sleep(0.05)
    publisher = Publisher(port, "fuzz")
    for number in range(messages):
        channel, payload = mutated(rng)
        name = (
            f"bad-{rng.randrange(DEVICES)}"
            if rng.random() < 0.98
            else rng.choice(("pump 07", "é", "x" * 200, "\u2028"))
        )
        publisher.publish(packet(f"{ROOT}/{name}/{channel}", payload, number))
        if number % 1000 == 999:
            _settled(console, number, BEHIND_MAX)
            print(f"  {number + 1} of {messages}", file=sys.stderr, flush=True)
    publisher.close()


def _settled(console: Console, published: int, behind_max: int) -> dict[str, Any]:
    """Wait until the cloud has accounted for all but so many messages; raise TimeoutError when it does not move."""
    best, moved_at = -1, time.monotonic()
    while True:
        counts = dict(console.ingest())
        if _accounted(counts) >= published - behind_max:
            return counts
        if _accounted(counts) > best:
            best, moved_at = _accounted(counts), time.monotonic()
        if time.monotonic() - moved_at > STALL_S:
            raise TimeoutError(f"the cloud stands still at {best} of {published} messages")
        time.sleep(0.1)


def _accounted(counts: dict[str, Any]) -> int:
    return int(counts["taken"] + sum(counts["dropped"].values()))


def main() -> int:
    """Run, print the verdict as JSON, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        verdict = fuzz(Path(folder), arguments.messages, arguments.seed)
        if not verdict.good:
            print((Path(folder) / "cloud.log").read_text(), file=sys.stderr)
    print(json.dumps(asdict(verdict)))
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
