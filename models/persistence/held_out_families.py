"""`python -m models train families`: networks for `python -m models scenarios --networks`, each without some families.

What flows in: telemetry (--data), scenarios of all families, and a seed. What flows out: OUT/<family>/persistence-0 for
each family, trained as the shipped one is, but without this family; those of the public reports are trained on all
families, which hold none of the reports. Nothing of it ships. Needs the extra `train`.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from edge_agent.detection.trends.persistence_features import FEATURES
from models.persistence.persistence_artifact import NAME, TRIES, all_scenarios, representative
from models.persistence.telemetry_ramps import Samples, telemetry_samples
from models.persistence.training import fit, folds
from models.quantised_network import Ends, to_int8, write_artifact
from models.scenarios import FAULTY, LOOKALIKES, REPORTS

VERSION = "0"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `train families` and its options."""
    parser = commands.add_parser("families", help="networks without some families of scenarios", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR", help="of smd, asd, js2")
    parser.add_argument("--out", type=Path, default=Path("build/held-out"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=7, help="of everything that is random (default 7)")
    parser.add_argument("--folds", type=int, default=8, help="in which families are held out (default 8)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a processor)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Train a network for each fold, and write it for each of the families that it has not seen."""
    telemetry = telemetry_samples(options.data, TRIES, options.seed)
    scenarios = all_scenarios(options.jobs)
    for number, families in enumerate([*family_folds(options.folds), tuple(REPORTS)]):
        print(f"holding out {', '.join(families)}", file=sys.stderr, flush=True)
        write(
            telemetry,
            scenarios.where(~np.isin(scenarios.group, families)),
            families,
            options.out,
            options.seed + number,
        )
    print(f"{options.out}: networks for {len(LOOKALIKES) + len(FAULTY) + len(REPORTS)} families")


def family_folds(count: int) -> list[tuple[str, ...]]:
    """Return the families that are held out together: of each fold some look-alikes and some faults."""
    lookalikes, faulty = (list(folds(np.array(list(names)), count)) for names in (LOOKALIKES, FAULTY))
    faulty += [()] * (len(lookalikes) - len(faulty))
    return [(*some, *others) for some, others in zip(lookalikes, faulty, strict=True)]


def write(telemetry: Samples, scenarios: Samples, families: tuple[str, ...], out: Path, seed: int) -> None:
    """Train on these samples, and write the network for each of these families."""
    fitted = fit(telemetry, scenarios, seed)
    content = to_int8([fitted.network], representative(fitted, telemetry, scenarios))
    ends = Ends(features=FEATURES, outputs=("logit",), scaling=fitted.scaling)
    for family in families:
        folder = out / family / f"{NAME}-{VERSION}"
        write_artifact(folder, content, ends, training={"held_out": list(families), "seed": seed}, card="")
