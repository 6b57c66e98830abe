"""`python -m models COMMAND`: records, trains, replays and measures; see --help."""

import argparse
import sys
from collections.abc import Sequence

from edge_agent.artifacts.tflite_network import ArtifactError
from models import age_fit, evaluate, label_metrics, recording, relations, score, train
from models.datasets import DataError
from models.machine import evaluate as machine_evaluate
from models.persistence import answers, held_out_families, reliability
from models.quantised_network import TrainingError
from models.scenarios import evaluate as scenarios


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
    answers.add_command(commands)
    reliability.add_command(commands)
    held_out_families.add_command(commands)
    scenarios.add_command(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ArtifactError, DataError, TrainingError, OSError) as error:
        print(f"models: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
