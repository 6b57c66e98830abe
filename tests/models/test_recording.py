"""A recording is what the agent would have read, in a schedule that its seed decides."""

import random
from itertools import islice
from pathlib import Path

import numpy as np

from edge_agent.detection.relations.quantities import Quantity
from models.__main__ import main
from models.recording import IDLE, schedule
from models.simulated_devices import load_recordings


def titles(seed: int, count: int) -> list[str]:
    return [phase.title for phase in islice(schedule(random.Random(seed)), count)]


def test_the_seed_decides_the_schedule_and_every_second_phase_is_rest() -> None:
    assert titles(3, 40) == titles(3, 40) != titles(4, 40)
    assert set(titles(3, 40)[::2]) == {IDLE}
    assert IDLE not in titles(3, 40)[1::2]


def test_a_recording_can_be_read_back_and_names_no_folder(tmp_path: Path) -> None:
    assert main(["record", "--out", str(tmp_path / "short.npz"), "--seconds", "10"]) == 0
    (recorded,) = load_recordings(tmp_path)
    assert recorded.found.shape == (1, len(Quantity))
    assert 0 <= recorded.found[0, Quantity.CPU] <= 1 + 1e-6  # a sum of shares, each rounded to 32 bits
    with np.load(tmp_path / "short.npz") as arrays:
        assert not [name for name in arrays["series"] if "filesystem" in name]
        assert list(arrays["ran"]) == [IDLE, IDLE]
