import hashlib

import numpy as np
import pytest

from touchstone import splits
from touchstone.splits import assign, calibrate, cap, near_copies

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


def photographs(count: int, seed: int) -> np.ndarray:
    """Smooth random pictures: blurred noise, 32 px."""
    import cv2

    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in noise])


def test_planted_near_copies_are_found_and_strangers_are_not() -> None:
    train, held_out = photographs(200, 0), photographs(100, 1)
    noise = np.random.default_rng(2).integers(-2, 3, held_out[:30].shape)
    held_out[:20] = np.clip(train[:20].astype(int) + noise[:20], 0, 255)
    held_out[20:30] = train[20:30, :, ::-1]  # mirrored
    threshold = calibrate(train, np.arange(200) % 10)
    found = near_copies(held_out, train, threshold=threshold)
    assert found.found[:30].all()
    assert not found.found[30:].any()
    assert found.row[:30].tolist() == list(range(30))
    assert found.mirrored[20:30].all()
    assert not found.mirrored[:20].any()


def test_the_threshold_stays_below_pairs_of_different_classes() -> None:
    plain = np.full((20, 16, 16, 1), 100, np.uint8)
    plain[:, 0, 0, 0] = np.arange(20)  # hardly to be told apart, yet of two classes
    labels = np.arange(20) % 2
    assert not near_copies(plain[:1] + 2, plain[1:], threshold=calibrate(plain, labels)).found.any()


def test_without_training_images_nothing_is_a_copy() -> None:
    found = near_copies(photographs(3, 0), photographs(1, 1)[:0], threshold=10.0)
    assert not found.found.any()
    assert splits.calibrate(photographs(1, 1), np.zeros(1)) == 0.0
