import hashlib

import numpy as np
import pytest

from touchstone.data.splits import assign, cap

IDS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(4000)]


def split(image_id: str, official: str = "", **changes) -> str:
    rules = {"has_test": False, "test_fraction": 0.2, "val_fraction": 0.25, "fold": "", "seed": 0}
    return assign(image_id, official, **(rules | changes))


def test_fractions_are_met_in_expectation() -> None:
    found = np.array([split(i) for i in IDS])
    assert np.mean(found == "test") == pytest.approx(0.2, abs=0.02)
    assert np.mean(found == "val") == pytest.approx(0.8 * 0.25, abs=0.02)


def test_official_splits_are_kept_and_then_nothing_else_becomes_test() -> None:
    for official in ("val", "test", "unlabelled"):
        assert {split(i, official, has_test=True) for i in IDS[:50]} == {official}
    assert {split(i, "train", has_test=True) for i in IDS[:200]} == {"train", "val"}


def test_a_seed_moves_images_and_the_test_split_ignores_val_fraction() -> None:
    assert [split(i) for i in IDS] != [split(i, seed=1) for i in IDS]
    one = [split(i, val_fraction=0.0) == "test" for i in IDS]
    assert one == [split(i, val_fraction=0.5) == "test" for i in IDS]


def test_folds_partition_what_is_not_test() -> None:
    folds = [{i for i in IDS if split(i, fold=f"{k} of 5") == "val"} for k in range(1, 6)]
    assert set().union(*folds) == {i for i in IDS if split(i) != "test"}
    assert sum(map(len, folds)) == len(set().union(*folds))
    assert min(map(len, folds)) > 0.15 * len(set().union(*folds))


def test_cap_takes_the_lowest_ids_of_each_class_in_turn() -> None:
    ids, labels = ["5", "1", "3", "2", "4"], ["a", "a", "a", "b", "b"]
    assert cap(ids, labels, 0) == [0, 1, 2, 3, 4]
    assert cap(ids, labels, 3) == [1, 2, 3]
    assert cap(ids, labels, 99) == [0, 1, 2, 3, 4]
