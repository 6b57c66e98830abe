"""Retired names: private words for which the field has a standard term. None may name a thing of this project again.

What flows in: the source. What flows out: each retired word with how often it still names a module, class, function,
parameter or attribute, or stands in a text. `python -m tests.vocabulary` prints them; names of the wire, of the
configuration and of the database keep theirs, and are listed in KEPT.
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUFFIXES = {".py", ".md", ".html", ".js", ".toml"}
FOLDERS = ("edge_agent", "cloud", "models", "firmware_stubs", "tests", "deploy")

# Whole identifiers: classes and modules whose word is fine in another sense.
WHOLE = {
    "Held": "WriteBuffer",
    "Room": "Quota",
    "Remembered": "state table",
    "Words": "presence messages",
    "Came": "MessageReceived",
    "Reached": "Acknowledged",
    "Up": "Connected",
    "Down": "Disconnected",
    "Sizes": "PacketLimit",
    "Pace": "RateLimiter",
    "Suspect": "PoisonDetector",
    "Level": "Resolution",
    "Life": "OperatingTime",
    "Watch": "Limit",
    "Moment": "Event",
    "Step": "Transition",
    "Entry": "TimelineEntry",
    "Arrivals": "FairQueue",
    "Tally": "Counters",
    "Casebook": "CaseService",
}
# Words of an identifier: what to say in their place.
NAMES = {
    "refuge": "memory fallback",
    "come home": "migrate to disk",
    "shelf": "record table",
    "shelved": "stored record",
    "is too much": "is full",
    "make room": "free space, allocate",
    "ledger": "sequence file",
    "stood": "was open",
    "standing": "open findings, active",
    "learnt": "learned",
    "given up": "dropped",
    "say": "publish, report",
    "said": "published, reported",
    "unsaid": "pending",
    "told": "reported",
    "untold": "pending",
    "begin anew": "start new",
    "take up": "resume",
    "let go": "release",
    "tend": "flush if due",
    "suspect": "poison detector",
    "pace": "rate limiter",
    "effort": "degradation level",
    "rarer": "sparse telemetry",
    "ladder": "multi-scale window",
    "course": "extrapolation, stream progress",
    "courses": "stream progress",
    "habit": "recurring low",
    "judge": "detector, evaluate",
    "judged": "evaluated",
    "carriers": "contributing metrics",
    "unusual": "anomaly",
    "heard": "on finding, received",
    "begun": "on first finding",
    "weighed": "recompute severity",
    "bell": "change signal",
    "parked": "dead-lettered",
    "doors": "login",
    "sorry": "error page",
    "desk": "page handler",
    "harm": "injected fault",
    "lives": "simulated devices",
    "any device": "random device",
}
# Phrases of texts: docstrings, comments, documents, pages, messages.
PHRASES = (
    "refuge",
    "shelved",
    "unsaid",
    "given up",
    "gives up",
    "come home",
    "comes home",
    "begin anew",
    "begins anew",
    "stood",
    "let go of",
    "lets go of",
    "is no flicker",
    "nobody is on it",
    "last word",
    "has to say",
    "of before",
)
# Fields of the wire and of the database keep their names.
KEPT = {"carriers", "judge"}


def named(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and name of every class, function, parameter, assigned variable and attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr


def words(name: str) -> str:
    """Return an identifier as words: `_comeHome`, `come_home` and `ComeHome` are all `come home`."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
    return " ".join(part for part in parts if part)


def retired_in(name: str) -> list[str]:
    """Return the retired words that an identifier contains."""
    padded = f" {words(name)} "
    return [word for word in NAMES if f" {word} " in padded] + [word for word in WHOLE if word == name.strip("_")]


def uses() -> dict[str, list[str]]:
    """Return for each retired word where it still names something."""
    found: dict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            place = path.relative_to(ROOT).as_posix()
            for word in retired_in(path.stem):
                found[word].append(place)
            for line, name in named(ast.parse(path.read_text())):
                if name in KEPT:
                    continue
                for word in retired_in(name):
                    found[word].append(f"{place}:{line} {name}")
    return found


def texts() -> Iterator[Path]:
    """Yield every file of code or prose, but the two that list the retired words."""
    for folder in (*FOLDERS, "docs"):
        yield from (
            path
            for path in sorted((ROOT / folder).rglob("*"))
            if path.suffix in SUFFIXES and "vocabulary" not in path.name
        )
    yield from sorted(ROOT.glob("*.md"))


def phrases() -> dict[str, list[str]]:
    """Return for each retired phrase where it still stands in a text."""
    found: dict[str, list[str]] = defaultdict(list)
    pattern = re.compile(r"\b(" + "|".join(PHRASES) + r")\b", re.IGNORECASE)
    for path in texts():
        place = path.relative_to(ROOT)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for match in pattern.finditer(line):
                found[match[1].lower()].append(f"{place}:{number} {line.strip()[:100]}")
    return found


def main() -> int:
    """Print each retired word with the count of what is left, and where; return 1 if anything is."""
    verbose = "-v" in sys.argv[1:]
    left = Counter[str]()
    for title, found, known in (("names", uses(), NAMES | WHOLE), ("texts", phrases(), PHRASES)):
        print(f"{title}: " + ", ".join(f"{word} {len(found.get(word, ()))}" for word in known))
        left[title] = sum(map(len, found.values()))
        for place in (place for places in found.values() for place in places) if verbose else ():
            print(f"  {place}")
    return 1 if left.total() else 0


if __name__ == "__main__":
    sys.exit(main())
