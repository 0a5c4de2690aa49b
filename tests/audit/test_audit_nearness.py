"""The null distribution of nearness holds for honest generators, and copiers leave it."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from touchstone.audit.nearness import nearness
from touchstone.audit.quality import LabelledFeatures


def real(count: int, rng: np.random.Generator, *, width: float = 1) -> LabelledFeatures:
    """Four clusters, one a class, in 6 dimensions."""
    labels = np.arange(count) % 4
    values = width * rng.normal(0, 1, (count, 6)) + 6 * np.eye(6)[labels]
    return LabelledFeatures(values.astype(np.float32), labels)


def joined(*parts: LabelledFeatures) -> LabelledFeatures:
    return LabelledFeatures(np.concatenate([p.values for p in parts]), np.concatenate([p.labels for p in parts]))


def first(features: LabelledFeatures, count: int) -> LabelledFeatures:
    return LabelledFeatures(features.values[:count], features.labels[:count])


def p_values(draws: int, *, sizes: tuple[int, int, int], width: float = 1, num_splits: int = 40) -> np.ndarray:
    """Draw honest generated sets; sizes are those of the training, the unseen and the generated images."""
    found = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        train, unseen = (real(count, rng) for count in sizes[:2])
        found.append(nearness(real(sizes[2], rng, width=width), train, unseen, seed=seed, num_splits=num_splits).p)
    return np.array(found)


def share_within(p: np.ndarray, level: float, most: float) -> bool:
    """Whether the share of p-values up to `level` is not above it by more than chance (three standard errors)."""
    return bool((p <= level).mean() <= most + 3 * np.sqrt(most * (1 - most) / len(p)))


@pytest.mark.parametrize("sizes", [(80, 160, 400), (160, 80, 40)])
def test_honest_sets_are_called_nearer_at_the_level(sizes: tuple[int, int, int]) -> None:
    """Also those with more images than there are unseen ones, which all meet the same training images."""
    p = p_values(60, sizes=sizes)
    assert share_within(p, 0.05, 0.05)
    assert 0.35 < p.mean() < 0.65


def test_the_deviation_of_honest_splits_is_wider_than_that_of_independent_images() -> None:
    """400 images against 80 and 80: the lean varies with the training images, which 400 new images do not average."""
    rng = np.random.default_rng(0)
    train, unseen = real(80, rng), real(80, rng)
    small, large = (nearness(real(n, rng), train, unseen, seed=0, num_splits=100).lean_sd for n in (40, 4000))
    assert large > small / np.sqrt(100) * 2


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 0.6])
@pytest.mark.parametrize("sizes", [(100, 400, 300), (200, 100, 1000), (150, 150, 150)])
def test_the_level_holds_in_hundreds_of_draws_also_for_images_unlike_real_ones(
    sizes: tuple[int, int, int], width: float
) -> None:
    p = p_values(300, sizes=sizes, width=width, num_splits=100)
    assert share_within(p, 0.05, 0.05)
    assert share_within(p, 0.01, 0.01)
    assert 0.42 < p.mean() < 0.58


@pytest.mark.slow
def test_two_hundred_honest_sets_of_real_digits_and_a_fifth_of_noisy_copies() -> None:
    digits = load_digits()
    values, labels = digits.data.astype(np.float32), digits.target.astype(np.int64)
    honest, planted = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        parts = np.split(rng.permutation(len(values)), [200, 800, 1400])
        train, unseen, made = (LabelledFeatures(values[rows], labels[rows]) for rows in parts[:3])
        honest.append(nearness(made, train, unseen, seed=seed, num_splits=100).p)
        rows = rng.integers(200, size=120)
        noise = rng.normal(0, 2, (120, values.shape[1])).astype(np.float32)
        copied = LabelledFeatures(train.values[rows] + noise, train.labels[rows])
        planted.append(nearness(joined(copied, first(made, 480)), train, unseen, seed=seed, num_splits=100).p)
    assert (np.array(honest) <= 0.05 / 3).mean() <= 0.05, "the first step of Holm on a single set"
    assert (np.array(planted) <= 0.05 / 3).mean() >= 0.8


def test_a_fifth_of_copies_is_found() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        train, unseen = real(200, rng), real(400, rng)
        copied = LabelledFeatures(train.values + rng.normal(0, 0.3, (200, 6)).astype(np.float32), train.labels)
        found = nearness(joined(copied, real(800, rng)), train, unseen, seed=seed, num_splits=100)
        assert found.p < 0.05 / 3
        assert found.lean > 0
        assert found.nearer > 0.53


def test_copies_lean_wholly_and_copies_of_unseen_images_lean_away() -> None:
    rng = np.random.default_rng(0)
    train, unseen = real(100, rng), real(100, rng)
    exact = nearness(train, train, unseen, seed=0, num_splits=100)
    assert exact.nearer == 1
    assert exact.z > 10
    away = nearness(unseen, train, unseen, seed=0, num_splits=100)
    assert away.nearer == 0
    assert away.p > 0.999


def test_the_lean_by_hand() -> None:
    """0 lies 1 from the training image and 3 from the unseen one: (3 - 1) / 4, and of two splits one is mirrored."""
    one = np.zeros(1, np.int64)
    train, unseen, made = (LabelledFeatures(np.array([[x]], np.float32), one) for x in (1, -3, 0))
    found = nearness(made, train, unseen, seed=0, num_splits=2000)
    assert found.nearer == 1
    assert found.lean == pytest.approx(0.5, abs=0.05), "the mean over the splits is 0"
    assert found.lean_sd == pytest.approx(0.5, abs=0.01)


def test_of_groups_whole_ones_are_dealt() -> None:
    """Ten images a patient, much alike: dealt one by one, most honest sets would be called nearer or farther."""

    def patients(count: int, rng: np.random.Generator) -> LabelledFeatures:
        groups = np.repeat(np.arange(count), 10)
        values = rng.normal(0, 1, (count, 6))[groups] + rng.normal(0, 0.1, (10 * count, 6))
        return LabelledFeatures(values.astype(np.float32), np.zeros(10 * count, np.int64), groups=groups)

    grouped, by_image = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        train, unseen, made = patients(16, rng), patients(16, rng), patients(30, rng)
        grouped.append(nearness(made, train, unseen, seed=seed, num_splits=40).p)
        alone = [replace(part, groups=None) for part in (train, unseen)]
        by_image.append(nearness(made, *alone, seed=seed, num_splits=40).p)
    assert share_within(np.array(grouped), 0.05, 0.05)
    assert (np.array(by_image) <= 0.05).mean() > 0.2
    copied = nearness(train, train, unseen, seed=0, num_splits=100)
    assert copied.p < 0.01


@pytest.mark.parametrize("empty", ["made", "train", "unseen"])
def test_without_images_nothing_is_said(empty: str) -> None:
    rng = np.random.default_rng(0)
    sets = {name: real(0 if name == empty else 20, rng) for name in ("made", "train", "unseen")}
    assert np.isnan(nearness(*sets.values(), seed=0, num_splits=20).p)


def test_the_same_seed_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(0)
    sets = [real(count, rng) for count in (50, 40, 60)]
    assert nearness(*sets, seed=3, num_splits=20) == nearness(*sets, seed=3, num_splits=20)
    assert nearness(*sets, seed=3, num_splits=20) != nearness(*sets, seed=4, num_splits=20)
