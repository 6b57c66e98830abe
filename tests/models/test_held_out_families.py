"""Families held out: each once, by a network that has not seen it, and evaluated with that network alone."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from edge_agent.detection.trends.persistence_features import FEATURES
from models.dense_network import DenseNetwork
from models.persistence import held_out_families
from models.persistence.held_out_families import FittedNetwork, Task, evaluate, family_folds
from models.persistence.telemetry_ramps import Samples
from models.persistence.training import Fitted
from models.quantised_network import Scaling
from models.scenarios import FAULTY, LOOKALIKES, REPORTS
from models.scenarios.evaluate import FIRST_SEED
from models.scenarios.figures import Outcome
from models.scenarios.scenario import Scenario
from tests.models.networks import a_network
from tests.models.scenarios.scenarios import a_full_disk, a_scenario, filling

OPTIONS = argparse.Namespace(folds=4, seeds=2, seed=7, jobs=1)
SCALING = Scaling(mean=np.full(len(FEATURES), 1.0), scale=np.full(len(FEATURES), 2.0))


def a_fitted(logit: float) -> Fitted:
    """Return what training would: a network with one answer for everything."""
    return Fitted(SCALING, DenseNetwork(((np.zeros((len(FEATURES), 1)), np.array([logit])),)))


def some_samples(*families: str) -> Samples:
    count = len(families)
    return Samples(
        features=np.zeros((count, len(FEATURES))), reaches=np.ones(count, np.bool_),
        new_ground=np.ones(count, np.bool_), group=np.array(families),
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 4, 7])
def test_each_family_is_held_out_once_and_each_fold_has_look_alikes_and_faults(count: int) -> None:
    folds = list(family_folds(count))

    assert len(folds) == count
    assert Counter(family for fold in folds for family in fold) == Counter([*LOOKALIKES, *FAULTY])
    assert all(set(fold) & LOOKALIKES.keys() and set(fold) & FAULTY.keys() for fold in folds)


def test_the_network_scales_its_features_as_in_training() -> None:
    network = a_network(len(FEATURES))
    rows = np.random.default_rng(0).normal(size=(3, len(FEATURES)))

    found = FittedNetwork(Fitted(SCALING, network)).run(rows)

    assert found.shape == (3, 1)
    assert np.array_equal(found, network.run((rows - 1.0) / 2.0))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Training takes no time: each call is answered with the families that it was given."""
    calls: list[set[str]] = []
    every = some_samples(*LOOKALIKES, *FAULTY)

    def fit(_telemetry: Samples | None, scenarios: Samples, seed: int) -> Fitted:
        calls.append(set(scenarios.group.tolist()))
        return a_fitted(float(seed))

    monkeypatch.setattr(held_out_families, "extracted", lambda _options: (None, None, every))
    monkeypatch.setattr(held_out_families, "fit", fit)
    return calls


def test_no_family_is_evaluated_by_a_network_that_was_trained_on_it(trained: list[set[str]]) -> None:
    evaluated: dict[float, set[str]] = {}
    for fitted, family, _ in held_out_families._tasks(OPTIONS):
        evaluated.setdefault(float(fitted.network.layers[-1][1][0]), set()).add(family)

    *held_out, of_reports = evaluated.values()
    assert len(trained) == len(evaluated) + (len(evaluated) == OPTIONS.folds)
    assert all(families.isdisjoint(seen) for families, seen in zip(held_out, trained, strict=False))
    assert trained[-1] == {*LOOKALIKES, *FAULTY}
    assert of_reports
    assert {family for families in evaluated.values() for family in families} >= REPORTS.keys()


def test_every_family_is_replayed_with_each_seed_and_each_report_once(trained: list[set[str]]) -> None:
    tasks = Counter((family, seed) for _, family, seed in held_out_families._tasks(OPTIONS))

    seeds = range(FIRST_SEED, FIRST_SEED + OPTIONS.seeds)
    assert tasks == Counter(
        [(family, seed) for family in (*LOOKALIKES, *FAULTY) for seed in seeds]
        + [(family, FIRST_SEED) for family in REPORTS]
    )


def replayed(monkeypatch: pytest.MonkeyPatch, scenario: Scenario, logit: float) -> Outcome:
    monkeypatch.setattr(held_out_families, "build", lambda _family, _seed: scenario)
    return held_out_families._replayed((a_fitted(logit), "test", 1))


def test_a_replay_is_evaluated_by_the_network_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    found, missed = (replayed(monkeypatch, a_full_disk(), logit) for logit in (8.0, -8.0))
    (lead,), (late,) = found.leads, missed.leads
    assert lead is not None
    assert lead > 0.1
    assert late is None or late < lead

    false, quiet = (replayed(monkeypatch, a_scenario(filling(lowest=0.8)), logit) for logit in (8.0, -8.0))
    assert len(false.cases) >= 1
    assert quiet.cases == ()


class InThisProcess:
    """Stands in for the pool of processes."""

    def __init__(self, _jobs: int, _context: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def map(self, run: Callable[[Task], Outcome], tasks: list[Task]) -> Iterator[Outcome]:
        return map(run, tasks)


def test_the_outcomes_come_in_the_order_of_the_tasks_with_a_line_of_progress_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = a_full_disk()
    monkeypatch.setattr(held_out_families, "build", lambda _family, _seed: scenario)
    monkeypatch.setattr(held_out_families, "_tasks", lambda _options: [(a_fitted(8.0), "test", 1)] * 2)
    monkeypatch.setattr(held_out_families, "ProcessPoolExecutor", InThisProcess)

    assert [done.family for done in evaluate(OPTIONS)] == ["test", "test"]
    assert capsys.readouterr().err == "1/2 test/1\n2/2 test/1\n"
