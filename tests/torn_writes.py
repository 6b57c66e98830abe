"""Torn writes: stores of the real outbox, cut or corrupted at random offsets, and checked after the next start.

`python -m tests.torn_writes --stores 1000 --seed 1` prints one JSON object; exit 0 only if `failures` is 0.

What must hold of every store after any damage:
- the outbox opens, and accepts a finding;
- every record committed before the damage is there unchanged, or listed as lost; there is no undeclared loss;
- where only the end of the write-ahead log after the last commit was cut or torn, or a file beside the store that can
  be created again, all committed records are there;
- a loss from before the damage is still declared, or will be;
- no number that a stream has used before is used in it again.

A store and a sequence file that are damaged together can't list what they have lost. These are counted apart, as
`beyond_promise` (how many) and `silent_beyond_promise` (how many of them lost something or used a number again).
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_agent.outbox import Outbox, record_table
from edge_agent.outbox.loss_table import LostRange, loss_record
from edge_agent.outbox.sequence_file import SUFFIX
from edge_agent.protocol.records import Loss, encode, read_record
from edge_agent.protocol.topics import Lane
from tests.builders import a_chunk, a_finding, an_evidence, an_instant

FILES = ("", "-wal", "-shm", SUFFIX)
Damage = Callable[[Path, random.Random], str]


@dataclass(frozen=True, slots=True)
class Before:
    """The content of a store at the power cut."""

    streams: dict[Lane, str]
    records: dict[tuple[Lane, int], bytes]  # committed and not acknowledged
    lost: frozenset[tuple[Lane, int]]  # lost, and not counted by the cloud
    used: dict[Lane, int]
    buffered: frozenset[int]  # telemetry that was never written to disk
    wal_bytes: int  # of the write-ahead log that the last commit needs; the rest of the file is allocated space


def live(path: Path, rng: random.Random) -> Before:
    """Use an outbox for a while, and copy its files while it is still open, as a power cut leaves them."""
    outbox = Outbox(path)
    records: dict[tuple[Lane, int], bytes] = {}
    for _ in range(rng.randint(1, 12)):
        lost_ranges = outbox.undeclared() if rng.random() < 0.5 else []
        bodies = [a_record(rng) for _ in range(rng.randint(1, 3))] + [
            encode(loss_record(one, an_instant())) for one in lost_ranges
        ]
        outbox.put(bodies, {f"finding-{rng.randint(0, 3)}": b"open"}, declared=lost_ranges)
        first = outbox.last_seq(Lane.FINDINGS) - len(bodies) + 1
        records |= {(Lane.FINDINGS, seq): body for seq, body in enumerate(bodies, start=first)}
        outbox.buffer(batch := a_chunk(rng.uniform(0, 1e6)))
        if rng.random() < 0.5:
            outbox.flush()
        records[Lane.TELEMETRY, outbox.last_seq(Lane.TELEMETRY)] = batch
        disturb(outbox, records, rng)
    lost = losses(outbox, dict(outbox.after(Lane.FINDINGS, 0, 10**6)).values())
    wal_bytes = end_of_log(path.with_name(path.name + "-wal"))
    if rng.random() < 0.3:  # a transaction that was never committed
        outbox._store.db.execute("PRAGMA cache_spill = 1")
        outbox._store.db.execute("BEGIN IMMEDIATE")
        record_table.put(outbox._store.db, Lane.FINDINGS, [(10**9 + part, rng.randbytes(60_000)) for part in range(40)])
    acked = {lane: outbox.base_seq(lane) - 1 for lane in Lane}
    before = Before(
        streams={lane: outbox.stream(lane) for lane in Lane},
        records={key: body for key, body in records.items() if key[1] > acked[key[0]]},
        lost=frozenset((lane, seq) for (lane, _), spans in lost.items() for span in spans for seq in span),
        used={lane: outbox.last_seq(lane) for lane in Lane},
        buffered=frozenset(outbox._buffer.records),
        wal_bytes=wal_bytes,
    )
    for suffix in FILES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            shutil.copy(part, part.with_name("torn-" + part.name))
    outbox._store.db.rollback()
    outbox._store.close()
    return before


def end_of_log(wal: Path) -> int:
    """Return where the frames end that belong to the log now: those carry its salt (sqlite.org/walformat.html)."""
    content = wal.read_bytes()
    page_bytes, salt, end = int.from_bytes(content[8:12], "big"), content[16:24], 32
    while salt.strip(b"\0") and content[end + 8 : end + 16] == salt:
        end += 24 + page_bytes
    return end


def disturb(outbox: Outbox, records: dict[tuple[Lane, int], bytes], rng: random.Random) -> None:
    """Do what happens besides new records: quarantine some, acknowledge some, save learned state."""
    if rng.random() < 0.5:
        key = rng.choice(list(records))
        if outbox.quarantine(*key, "nobody takes it"):
            del records[key]
    if rng.random() < 0.2:
        outbox.save_learned_state("judges", rng.randbytes(12_000))
    if rng.random() < 0.3:
        lane = rng.choice(list(Lane))
        outbox.acknowledge(lane, outbox.stream(lane), rng.randint(0, outbox.last_seq(lane)))
    if rng.random() < 0.2:
        outbox._store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def a_record(rng: random.Random) -> bytes:
    """Return a finding, or evidence of some size."""
    if rng.random() < 0.5:
        return encode(a_finding(reason=rng.randbytes(rng.choice((10, 300))).hex()))
    return encode(an_evidence(values=[rng.random() for _ in range(rng.choice((10, 300, 1500)))]))


def cut(part: Path, rng: random.Random) -> str:
    """End the file anywhere."""
    with part.open("r+b") as file:
        file.truncate(rng.randint(0, part.stat().st_size))
    return "cut"


def flip(part: Path, rng: random.Random) -> str:
    """Change a few single bytes."""
    content = bytearray(part.read_bytes())
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    part.write_bytes(content)
    return "flip"


def zero(part: Path, rng: random.Random) -> str:
    """Fill some sectors with NULs, as a power cut leaves a file whose length was written before its content."""
    content = bytearray(part.read_bytes())
    sector = rng.choice((512, 4096))
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content)) // sector * sector
        end = min(len(content), start + sector * rng.randint(1, 4))
        content[start:end] = bytes(end - start)
    part.write_bytes(content)
    return "zero"


def noise(part: Path, rng: random.Random) -> str:
    """Fill a stretch with something else's bytes."""
    content = bytearray(part.read_bytes())
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.randint(1, 8192))
    content[start:end] = rng.randbytes(end - start)
    part.write_bytes(content)
    return "noise"


def drop(part: Path, rng: random.Random) -> str:
    """Lose the file."""
    part.unlink()
    return "drop"


def tail(wal: Path, rng: random.Random, wal_bytes: int) -> str:
    """Cut what was not committed, or append something unfinished."""
    with wal.open("r+b") as file:
        file.truncate(rng.randint(wal_bytes, max(wal_bytes, wal.stat().st_size)))
        file.seek(0, 2)
        file.write(rng.choice((b"", bytes(4096), rng.randbytes(rng.randint(1, 9000)))))
    return "tail -wal"


def damage(path: Path, rng: random.Random, wal_bytes: int) -> str:
    """Damage one or two files of a store; return what was done to which."""
    if rng.random() < 0.2:
        return tail(path.with_name(path.name + "-wal"), rng, wal_bytes)
    done = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        suffix = rng.choice(("", "-wal", "-wal", "-wal", "-shm", SUFFIX))
        part = path.with_name(path.name + suffix)
        if part.exists() and part.stat().st_size:
            done.append(f"{rng.choice((cut, flip, zero, noise, drop))(part, rng)} {suffix or 'db'}")
    return ", ".join(done) or "nothing"


def losses(outbox: Outbox, findings: Iterable[bytes]) -> dict[tuple[Lane, str], list[range]]:
    """Return the lost numbers of each stream: undeclared ones, and those that pending records declare."""
    spans: dict[tuple[Lane, str], list[range]] = {}
    decoded = [read_record(json.loads(body)) for body in findings]
    lost_ranges: list[LostRange | Loss] = [
        *outbox.undeclared(10**6),
        *(loss for loss in decoded if isinstance(loss, Loss)),
    ]
    for one in lost_ranges:
        spans.setdefault((one.lane, one.stream), []).append(range(one.first_seq, one.last_seq + 1))
    return spans


def check(before: Before, path: Path, *, harmless: bool) -> tuple[str, str]:
    """Open an outbox on the damaged files; return its state, and what is wrong with it (empty: nothing)."""
    outbox = Outbox(path)
    try:
        found = {(lane, seq): body for lane in Lane for seq, body in outbox.after(lane, 0, 10**6)}
        lost = losses(outbox, [body for (lane, _), body in found.items() if lane is Lane.FINDINGS])
        outbox.put([b"after the damage"])
        outbox.buffer(b"a batch after the damage")
        state = "set aside" if outbox.damage else "resumed"
        return state, _wrong(before, outbox, found, lost, harmless)
    finally:
        outbox.close()


def _wrong(
    before: Before,
    outbox: Outbox,
    found: dict[tuple[Lane, int], bytes],
    lost: dict[tuple[Lane, str], list[range]],
    harmless: bool,
) -> str:
    for (lane, seq), body in before.records.items():
        stream = before.streams[lane]
        declared = any(seq in span for span in lost.get((lane, stream), []))
        stored = outbox.stream(lane) == stream and found.get((lane, seq)) == body
        passed = outbox.stream(lane) == stream and seq < outbox.base_seq(lane)
        if not stored and harmless and not (lane is Lane.TELEMETRY and seq in before.buffered):
            return f"{lane} {seq} was committed, nothing of it was damaged, and it is lost"
        if not stored and not declared:
            return f"{lane} {seq} is an undeclared loss" + (", since it counts as acknowledged" if passed else "")
    for lane, seq in before.lost:
        declared = any(seq in span for span in lost.get((lane, before.streams[lane]), []))
        if not declared and (lane, seq) not in found:  # a store that lost its last commits may have it again
            return f"{lane} {seq} was lost before, and is not declared any more"
    for lane in Lane:
        if outbox.stream(lane) == before.streams[lane] and outbox.last_seq(lane) <= before.used[lane]:
            return f"{lane}: number {outbox.last_seq(lane)} was used before"
    return ""


def run(stores: int, seed: int, folder: Path) -> dict[str, object]:
    """Make, damage and check so many stores; return the counts."""
    states: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    failures: list[str] = []
    beyond = silent = 0
    for number in range(stores):
        rng = random.Random(f"{seed}/{number}")
        store = folder / str(number)
        store.mkdir()
        before = live(store / "outbox.db", rng)
        for part in store.glob("outbox.db*"):
            part.unlink()
        for part in store.glob("torn-outbox.db*"):
            part.rename(part.with_name(part.name.removeprefix("torn-")))
        done = damage(store / "outbox.db", rng, before.wal_bytes)
        harmless = all(one == "nothing" or one.split()[1] in ("-shm", SUFFIX) for one in done.split(", "))
        harmless = harmless or done.startswith("tail")
        kinds.update(done.split(", "))
        try:
            state, wrong = check(before, store / "outbox.db", harmless=harmless)
        except Exception as error:
            state, wrong = "did not open", f"{type(error).__name__}: {error}"
        states[state] += 1
        both = SUFFIX in done and any(f" {name}" in done for name in ("db", "-wal"))
        beyond, silent = beyond + both, silent + (both and bool(wrong) and state != "did not open")
        if wrong and (not both or state == "did not open"):
            failures.append(f"store {number} ({done}): {wrong}")
        shutil.rmtree(store)
    return {
        "stores": stores,
        "seed": seed,
        **{state: states[state] for state in ("resumed", "set aside", "did not open")},
        "beyond_promise": beyond,
        "silent_beyond_promise": silent,
        "damage": dict(sorted(kinds.items())),
        "failures": len(failures),
        "first_failures": failures[:10],
    }


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(arguments.stores, arguments.seed, Path(folder))
    print(json.dumps(result))
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
