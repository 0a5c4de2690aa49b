from dataclasses import astuple

import numpy as np
import pytest
import torch

from touchstone.audit.quality import (
    LabelledFeatures,
    Quality,
    frechet_distance,
    kernel_distance,
    matched,
    neighbourhoods,
    quality,
)


def gaussian(count: int, seed: int, *, mean: float = 0, std: float = 1, dims: int = 4) -> LabelledFeatures:
    rng = np.random.default_rng(seed)
    return LabelledFeatures(rng.normal(mean, std, (count, dims)).astype(np.float32), np.arange(count) % 3)


def measure(generated: LabelledFeatures, seed: int = 0, **changes: int) -> Quality:
    return quality(generated, gaussian(400, 1), gaussian(300, 2), seed=seed, num_draws=3, **changes)


def test_matched_sets_have_the_same_number_of_each_class_and_no_row_twice() -> None:
    labels = [np.array([0, 0, 0, 1, 1, 2]), np.array([1, 0, 1, 0, 3]), np.array([3, 1, 0, 0, 2, 1, 1])]
    rows = matched(*labels, rng=np.random.default_rng(0))
    for part, row in zip(labels, rows, strict=True):
        assert part[row].tolist() == [0, 0, 1, 1], "class 2 and class 3 are missing in one set each"
        assert len(set(row)) == len(row)


def test_matched_draws_differ_with_the_generator_only() -> None:
    labels = np.zeros(100, int), np.zeros(50, int)
    draws = [matched(*labels, rng=np.random.default_rng(seed))[0] for seed in (0, 0, 1)]
    assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()


def test_matched_without_common_classes_is_empty() -> None:
    rows = matched(np.zeros(3, int), np.ones(3, int), np.zeros(0, int), rng=np.random.default_rng(0))
    assert [row.tolist() for row in rows] == [[], [], []]


@pytest.mark.parametrize(("mean", "std"), [(0, 1), (0.5, 1), (0, 2), (1, 0.5)])
def test_frechet_distance_of_gaussians_is_the_closed_form(mean: float, std: float) -> None:
    """d dimensions, N(0, 1) against N(mean, std^2): d (mean^2 + (std - 1)^2)."""
    values = [gaussian(20_000, 0).values, gaussian(20_000, 1, mean=mean, std=std).values]
    found = frechet_distance(*(part.astype(np.float64) for part in values))
    assert found == pytest.approx(4 * (mean**2 + (std - 1) ** 2), rel=0.03, abs=0.01)


def test_frechet_distance_counts_correlation() -> None:
    x = np.random.default_rng(0).normal(size=(20_000, 2))
    mixed = x @ np.linalg.cholesky(np.array([[1, 0.8], [0.8, 1]])).T
    expected = 4 - 2 * (np.sqrt(1.8) + np.sqrt(0.2))  # eigenvalues 1.8 and 0.2
    assert frechet_distance(mixed, x) == pytest.approx(expected, rel=0.03)


def test_kernel_distance_is_about_zero_for_equal_distributions_at_any_number() -> None:
    for count in (40, 400):
        found = [kernel_distance(gaussian(count, s).values, gaussian(count, s + 50).values, seed=s) for s in range(20)]
        assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(20) + 1e-9
    assert kernel_distance(gaussian(400, 0, mean=1).values, gaussian(400, 1).values, seed=0) > 1


def test_neighbourhoods_by_hand() -> None:
    """On a line, one neighbour: real balls [-1, 1], [0, 2], [9, 11], [10, 12], about 0, 1, 10 and 11."""
    real = np.array([[0.0], [1], [10], [11]])
    precision, recall, density, coverage = neighbourhoods(np.array([[0.5], [1.5], [5.0]]), real, neighbours=1)
    assert precision == pytest.approx(2 / 3), "5 is in no real ball"
    assert recall == pytest.approx(2 / 4), "balls [-0.5, 1.5], [0.5, 2.5] and [1.5, 8.5] hold 0 and 1"
    assert density == pytest.approx((2 + 1 + 0) / 3), "0.5 is in two balls, 1.5 in one"
    assert coverage == pytest.approx(2 / 4)


def test_the_same_images_have_precision_recall_and_coverage_one_and_strangers_none() -> None:
    real = gaussian(60, 0).values.astype(np.float64)
    assert neighbourhoods(real, real, neighbours=3)[::3] == (1, 1)
    assert neighbourhoods(real, real, neighbours=3)[1] == 1
    assert neighbourhoods(real + 100, real, neighbours=3) == (0, 0, 0, 0)


def test_honest_images_reach_the_floor_and_others_do_not() -> None:
    honest, shifted = measure(gaussian(500, 3)), measure(gaussian(500, 3, mean=0.7))
    narrow = measure(gaussian(500, 3, std=0.3))
    assert honest.num_images == 300
    assert abs(honest.generated.frechet - honest.floor.frechet) < 0.1 < 1 < shifted.generated.frechet
    assert shifted.generated.kid > 10 * abs(honest.generated.kid)
    assert narrow.generated.precision > honest.generated.precision
    assert narrow.generated.recall < 0.5 < honest.generated.recall
    assert narrow.generated.coverage < 0.8 < honest.generated.coverage
    assert 0 < honest.generated_std.frechet < 0.1


def test_the_gap_is_below_zero_for_images_that_resemble_the_training_images_more() -> None:
    train = gaussian(400, 1)
    noise = np.random.default_rng(5).normal(0, 0.05, train.values.shape).astype(np.float32)
    copied, honest = measure(LabelledFeatures(train.values + noise, train.labels)), measure(gaussian(500, 3))
    assert copied.gap < -3 * copied.gap_std < 0
    assert abs(honest.gap) < abs(copied.gap)


def test_the_same_seed_gives_the_same_numbers_and_torch_keeps_its_state() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = measure(gaussian(500, 3))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert measure(gaussian(500, 3)) == first
    assert measure(gaussian(500, 3), seed=1) != first


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_too_few_images_give_nan_where_nothing_can_be_said(count: int) -> None:
    found = measure(gaussian(count, 3))
    assert found.num_images == count
    assert np.isnan([found.generated.frechet, found.generated.kid]).all() == (count < 2)
    assert np.isnan(astuple(found.generated)[2:]).all(), "5 images have no 5th neighbour"


def test_features_and_labels_of_other_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got values \(3, 2\), labels \(4,\)"):
        LabelledFeatures(np.zeros((3, 2), np.float32), np.zeros(4, int))
