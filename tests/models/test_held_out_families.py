"""Families held out in turn: each is held out exactly once, with some of the other kind."""

from models.persistence.held_out_families import family_folds
from models.scenarios import FAULTY, LOOKALIKES


def test_each_family_is_held_out_once() -> None:
    held_out = [family for fold in family_folds(8) for family in fold]
    assert sorted(held_out) == sorted([*LOOKALIKES, *FAULTY])


def test_a_fold_for_each_family_can_be_had() -> None:
    assert len(family_folds(16)) == len(LOOKALIKES)
