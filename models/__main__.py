"""`python -m models record | train | relations | score | compare | evaluate | growth | machine`: see their --help."""

import argparse
import sys
from collections.abc import Sequence

from models import age_fit, evaluate, label_metrics, recording, relations, score, train
from models.datasets import DataError
from models.machine import evaluate as machine_evaluate
from models.quantised_network import TrainingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. Exit codes: 0 done, 1 unusable data or machine (one line gives the reason), 2 usage."""
    parser = argparse.ArgumentParser(
        prog="python -m models", description="Record machines, and measure the detection that devices run."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    recording.add_command(commands)
    train.add_command(commands)
    relations.add_command(commands)
    score.add_command(commands)
    label_metrics.add_command(commands)
    evaluate.add_command(commands)
    age_fit.add_command(commands)
    machine_evaluate.add_command(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (DataError, TrainingError, OSError) as error:
        print(f"models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
