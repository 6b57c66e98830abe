"""Torn writes: stores of the real outbox, cut or corrupted at random offsets, and what the next start makes of them.

`python -m tests.torn_writes --stores 1000 --seed 1` prints one JSON object; exit 0 only if `failures` is 0.

What must hold of every store, whatever was done to it:
- the outbox starts, and takes a finding;
- every record committed before the damage is there as it was, or declared lost; never changed, never silently gone;
- where nothing but the end of the write-ahead log behind the last commit was cut or torn, or a file beside the store
  that can be made anew, all that was committed is there;
- what was lost before the damage is still declared, or will be;
- no number that a stream has used before is used in it again.

A store and its ledger that are damaged in one blow can't know what they have forgotten. These are counted apart, as
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

from edge_agent.outbox import record_table
from edge_agent.outbox.loss_table import Gone, loss_of
from edge_agent.outbox.outbox import Outbox
from edge_agent.protocol.records import Loss, encode, read_record
from edge_agent.protocol.topics import Lane
from tests.builders import a_chunk, a_finding, an_evidence, an_instant

FILES = ("", "-wal", "-shm", ".ledger")
Damage = Callable[[Path, random.Random], str]


@dataclass(frozen=True, slots=True)
class Before:
    """What stood in a store when its power was cut."""

    streams: dict[Lane, str]
    records: dict[tuple[Lane, int], bytes]  # committed and not acknowledged
    lost: frozenset[tuple[Lane, int]]  # known to be gone, and the cloud has not been told
    used: dict[Lane, int]
    in_ram: frozenset[int]  # telemetry that was never written down
    wal_bytes: int  # of the write-ahead log that the last commit needs; the rest of the file is room


def live(path: Path, rng: random.Random) -> Before:
    """Let an outbox live for a while, and take its files as they are while it is still open, as a power cut does."""
    outbox = Outbox(path)
    records: dict[tuple[Lane, int], bytes] = {}
    for _ in range(rng.randint(1, 12)):
        gone = outbox.undeclared() if rng.random() < 0.5 else []
        bodies = [a_record(rng) for _ in range(rng.randint(1, 3))] + [
            encode(loss_of(one, an_instant())) for one in gone
        ]
        outbox.put(bodies, {f"finding-{rng.randint(0, 3)}": b"it stands"}, declared=gone)
        first = outbox.last_seq(Lane.FINDINGS) - len(bodies) + 1
        records |= {(Lane.FINDINGS, seq): body for seq, body in enumerate(bodies, start=first)}
        outbox.hold(batch := a_chunk(rng.uniform(0, 1e6)))
        if rng.random() < 0.5:
            outbox.flush()
        records[Lane.TELEMETRY, outbox.last_seq(Lane.TELEMETRY)] = batch
        disturb(outbox, records, rng)
    lost = untold(outbox, dict(outbox.after(Lane.FINDINGS, 0, 10**6)).values())
    wal_bytes = end_of_log(path.with_name(path.name + "-wal"))
    if rng.random() < 0.3:  # a transaction that never came to its end
        outbox._store.db.execute("PRAGMA cache_spill = 1")
        outbox._store.db.execute("BEGIN IMMEDIATE")
        record_table.put(outbox._store.db, Lane.FINDINGS, [(10**9 + part, rng.randbytes(60_000)) for part in range(40)])
    acked = {lane: outbox.base_seq(lane) - 1 for lane in Lane}
    before = Before(
        streams={lane: outbox.stream(lane) for lane in Lane},
        records={key: body for key, body in records.items() if key[1] > acked[key[0]]},
        lost=frozenset((lane, seq) for (lane, _), spans in lost.items() for span in spans for seq in span),
        used={lane: outbox.last_seq(lane) for lane in Lane},
        in_ram=frozenset(outbox._held.records),
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
    """Let happen what happens beside the records that come: some are put aside, some are acknowledged."""
    if rng.random() < 0.5:
        key = rng.choice(list(records))
        if outbox.quarantine(*key, "nobody takes it"):
            del records[key]
    if rng.random() < 0.2:
        outbox.learn("judges", rng.randbytes(12_000))
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
    """Cut what was not committed yet, or let something stand behind it that was never finished."""
    with wal.open("r+b") as file:
        file.truncate(rng.randint(wal_bytes, max(wal_bytes, wal.stat().st_size)))
        file.seek(0, 2)
        file.write(rng.choice((b"", bytes(4096), rng.randbytes(rng.randint(1, 9000)))))
    return "tail -wal"


def harm(path: Path, rng: random.Random, wal_bytes: int) -> str:
    """Damage one or two files of a store; return what was done to which."""
    if rng.random() < 0.2:
        return tail(path.with_name(path.name + "-wal"), rng, wal_bytes)
    done = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        suffix = rng.choice(("", "-wal", "-wal", "-wal", "-shm", ".ledger"))
        part = path.with_name(path.name + suffix)
        if part.exists() and part.stat().st_size:
            done.append(f"{rng.choice((cut, flip, zero, noise, drop))(part, rng)} {suffix or 'db'}")
    return ", ".join(done) or "nothing"


def untold(outbox: Outbox, findings: Iterable[bytes]) -> dict[tuple[Lane, str], list[range]]:
    """Return the numbers of each stream that are lost: that is to be declared, or records that wait declare it."""
    spans: dict[tuple[Lane, str], list[range]] = {}
    said = [read_record(json.loads(body)) for body in findings]
    gone: list[Gone | Loss] = [*outbox.undeclared(10**6), *(loss for loss in said if isinstance(loss, Loss))]
    for one in gone:
        spans.setdefault((one.lane, one.stream), []).append(range(one.first_seq, one.last_seq + 1))
    return spans


def judge(before: Before, path: Path, *, harmless: bool) -> tuple[str, str]:
    """Start an outbox on what is left; return what became of it, and what is wrong with that (empty: nothing)."""
    outbox = Outbox(path)
    try:
        found = {(lane, seq): body for lane in Lane for seq, body in outbox.after(lane, 0, 10**6)}
        lost = untold(outbox, [body for (lane, _), body in found.items() if lane is Lane.FINDINGS])
        outbox.put([b"after the damage"])
        outbox.hold(b"a batch after the damage")
        state = "set aside" if outbox.damage else "taken up"
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
        here = outbox.stream(lane) == stream and found.get((lane, seq)) == body
        passed = outbox.stream(lane) == stream and seq < outbox.base_seq(lane)
        if not here and harmless and not (lane is Lane.TELEMETRY and seq in before.in_ram):
            return f"{lane} {seq} was committed, nothing of it was damaged, and it is gone"
        if not here and not declared:
            return f"{lane} {seq} is gone without a word" + (", since it counts as acknowledged" if passed else "")
    for lane, seq in before.lost:
        told = any(seq in span for span in lost.get((lane, before.streams[lane]), []))
        if not told and (lane, seq) not in found:  # a store that fell back may have it again
            return f"{lane} {seq} was lost before, and nobody is told any more"
    for lane in Lane:
        if outbox.stream(lane) == before.streams[lane] and outbox.last_seq(lane) <= before.used[lane]:
            return f"{lane}: number {outbox.last_seq(lane)} was used before"
    return ""


def run(stores: int, seed: int, folder: Path) -> dict[str, object]:
    """Make, damage and judge so many stores; return the counts."""
    states: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    failures: list[str] = []
    beyond = silent = 0
    for number in range(stores):
        rng = random.Random(f"{seed}/{number}")
        home = folder / str(number)
        home.mkdir()
        before = live(home / "outbox.db", rng)
        for part in home.glob("outbox.db*"):
            part.unlink()
        for part in home.glob("torn-outbox.db*"):
            part.rename(part.with_name(part.name.removeprefix("torn-")))
        done = harm(home / "outbox.db", rng, before.wal_bytes)
        harmless = all(one == "nothing" or one.split()[1] in ("-shm", ".ledger") for one in done.split(", "))
        harmless = harmless or done.startswith("tail")
        kinds.update(done.split(", "))
        try:
            state, wrong = judge(before, home / "outbox.db", harmless=harmless)
        except Exception as error:
            state, wrong = "did not start", f"{type(error).__name__}: {error}"
        states[state] += 1
        both = ".ledger" in done and any(f" {name}" in done for name in ("db", "-wal"))
        beyond, silent = beyond + both, silent + (both and bool(wrong) and state != "did not start")
        if wrong and (not both or state == "did not start"):
            failures.append(f"store {number} ({done}): {wrong}")
        shutil.rmtree(home)
    return {
        "stores": stores,
        "seed": seed,
        **{state: states[state] for state in ("taken up", "set aside", "did not start")},
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
