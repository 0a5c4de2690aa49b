import hashlib
from collections import Counter

import numpy as np
import pytest

from touchstone.data.splits import assign

IDS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(400)]
LABELS = ["a"] * 100 + ["b"] * 60 + ["c"] * 240


def split(keys: list[str] = IDS, labels: list[str] = LABELS, official: str = "", **changes) -> list[str]:
    rules = {"has_test": False, "test_fraction": 0.2, "val_fraction": 0.25, "fold": "", "seed": 0}
    return assign(keys, labels, [official] * len(keys), **(rules | changes))


def counted(splits: list[str], labels: list[str] = LABELS) -> dict[tuple[str, str], int]:
    return dict(Counter(zip(labels, splits, strict=True)))


def test_every_class_has_its_share_to_the_image() -> None:
    assert counted(split()) == {
        ("a", "test"): 20,
        ("a", "val"): 20,
        ("a", "train"): 60,
        ("b", "test"): 12,
        ("b", "val"): 12,
        ("b", "train"): 36,
        ("c", "test"): 48,
        ("c", "val"): 48,
        ("c", "train"): 144,
    }
    thirty = split(IDS[:90], ["a", "b", "c"] * 30)
    assert {counted(thirty, ["a", "b", "c"] * 30)[name, "test"] for name in "abc"} == {6}
    pair = split(IDS[:2], ["a", "a"])
    assert sorted(pair) == ["test", "train"], "at least one, and never all"
    assert split(IDS[:1], ["a"]) == ["train"]


def test_official_splits_are_kept_and_then_nothing_else_becomes_test() -> None:
    for official in ("val", "test", "unlabelled"):
        assert set(split(official=official, has_test=True)) == {official}
    assert set(split(official="train", has_test=True)) == {"train", "val"}


def test_a_seed_moves_images_and_the_test_split_ignores_val_fraction() -> None:
    assert split() != split(seed=1)
    with_val, without = split(val_fraction=0.5), split(val_fraction=0.0)
    assert "val" not in without
    assert [name == "test" for name in with_val] == [name == "test" for name in without]


def test_new_images_move_few_old_ones_and_the_order_of_images_none() -> None:
    some, all_ = split(IDS[:300], LABELS[:300]), split()
    moved = sum(old != new for old, new in zip(some, all_, strict=False))
    assert moved <= 0.05 * 300
    order = np.random.default_rng(0).permutation(400)
    shuffled = split([IDS[i] for i in order], [LABELS[i] for i in order])
    assert [shuffled[i] for i in np.argsort(order)] == all_


def test_folds_partition_what_is_not_test() -> None:
    folds = [{i for i, name in enumerate(split(fold=f"{k} of 5")) if name == "val"} for k in range(1, 6)]
    assert set().union(*folds) == {i for i, name in enumerate(split()) if name != "test"}
    assert sum(map(len, folds)) == len(set().union(*folds))
    assert {len(fold) for fold in folds} <= {63, 64, 65}


def test_a_group_stays_on_one_side_and_classes_keep_their_shares() -> None:
    keys = [f"patient {i // 5}" for i in range(400)]
    for changes in ({}, {"fold": "2 of 4"}):
        found = split(keys, **changes)
        assert all(len({name for key, name in zip(keys, found, strict=True) if key == k}) == 1 for k in set(keys))
    assert counted(split(keys))["a", "test"] == 20
    assert counted(split(keys))["c", "test"] == 50, "whole groups of five, as close to 48 as can be"


def test_with_several_labels_rare_classes_are_shared_out() -> None:
    labels = ["dog"] * 300 + ["cat|dog"] * 80 + ["cat|dog|fox"] * 20
    found = split(labels=labels)
    assert sum(name == "test" for name in found[380:]) == 4
    assert sum(name == "test" for name in found[300:380]) == 16


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, {"train"}), (0.999, {"train", "test"})])
def test_extreme_shares(fraction: float, expected: set[str]) -> None:
    assert set(split(test_fraction=fraction, val_fraction=0.0)) == expected
