"""`make chaos`: real agents, Mosquitto, the cloud and its database under load, with faults injected into all of them.

What flows in: a length, a seed, and which databases to use, one after the other. What flows out: a line for each fault,
and as the last line JSON: {"accepted", "stored", "declared_lost", "missing", "duplicates", "unverified", "kills",
"error"}.

Faults: SIGKILL for an agent, the broker, the cloud, the database; the network cut or slow; the disk of a device full,
or read-only when it starts; its wall clock a year off. They may overlap. In the end everything is repaired, the devices
send what they hold, and every record that an agent had accepted is looked for in the database. The same seed gives the
same faults at the same times.

Whatever ends the run, the last line is printed; "error" is what ended it early, or null. After an error, SIGINT,
SIGTERM or SIGHUP everything is repaired and accounted for as at the end. A second signal skips that: records that are
neither stored nor declared lost may still be on their device, and are unverified rather than missing.

Exit codes: 0 nothing is missing and nothing is duplicated, 1 something is, 2 wrong command line, or an error or a
signal ended the run.
"""

import argparse
import json
import os
import random
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path

from tests.chaos.faults import report
from tests.chaos.interrupt import Interrupt
from tests.chaos.programs import run_folder, running_setup
from tests.chaos.run import SETTLE_S, ChaosRun


def main() -> int:
    """Run once for each database."""
    options = _options()
    interrupt = Interrupt()
    interrupt.install()
    # Agents inherit this. Without it, a clock step would end one that has just been started.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    runs: list[ChaosRun] = []
    error = _run_all(options, interrupt, runs)
    counts = Counter[str]()
    for run in runs:
        counts.update(run.counts())
    if error:
        report(f"chaos: {error}")
    print(json.dumps(dict(counts) | {"error": error}), flush=True)
    if counts["missing"] or counts["duplicates"]:
        return 1
    return 2 if error or counts["unverified"] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("CHAOS_SECONDS", "120")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("CHAOS_SEED", "1")))
    parser.add_argument("--settle-s", type=float, default=SETTLE_S, help="seconds without faults in the end")
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="folder for logs and stores (default: a temporary one)"
    )
    return parser.parse_args()


def _run_all(options: argparse.Namespace, interrupt: Interrupt, runs: list[ChaosRun]) -> str | None:
    """Run until the first error; return what it was. Each run is added to `runs` before it starts."""
    seconds = options.seconds / len(options.databases)
    try:
        for number, database in enumerate(options.databases):
            runs.append(run := ChaosRun(interrupt, options.settle_s))
            with run_folder(options.keep, database) as folder, running_setup(folder, database) as setup:
                run.perform(setup, random.Random(f"{options.seed}/{number}"), seconds)
            report(f"{database}: {run.counts()}")
            if run.error:
                return f"{database}: {run.error}"
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
