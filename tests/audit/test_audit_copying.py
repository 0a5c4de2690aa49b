import numpy as np
import pytest
import torch

from touchstone.audit.copying import Copying, authenticity, copying, data_copying, distance_ratio, memorisation
from touchstone.audit.quality import LabelledFeatures


def real(count: int, seed: int) -> LabelledFeatures:
    """Four clusters, one a class, in 6 dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    values = rng.normal(0, 1, (count, 6)) + 6 * np.eye(6)[labels]
    return LabelledFeatures(values.astype(np.float32), labels)


TRAIN, HELD_OUT = real(800, 0), real(400, 1)


def near(features: LabelledFeatures, std: float, rows: slice = slice(None)) -> LabelledFeatures:
    noise = np.random.default_rng(9).normal(0, std, features.values.shape)
    return LabelledFeatures((features.values + noise).astype(np.float32)[rows], features.labels[rows])


def measure(generated: LabelledFeatures, seed: int = 0) -> Copying:
    return copying(generated, TRAIN, HELD_OUT, seed=seed)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_honest_draws_give_about_zero_and_a_ratio_of_one(seed: int) -> None:
    found = measure(real(400, seed))
    assert abs(found.c_t) < 1.5
    assert abs(found.c_t_floor) < 1.5
    assert abs(found.z) < 3
    assert found.ratio == pytest.approx(1, abs=0.1)
    assert found.ratio_floor == pytest.approx(1, abs=0.1)
    assert found.num_cells > 3


def test_a_copier_is_far_below_zero() -> None:
    found = measure(near(TRAIN, 0.05))
    assert found.c_t < -5
    assert found.c_t_excess < -3
    assert found.z < -10
    assert found.ratio < found.ratio_floor - 0.05
    assert found.ratio_floor == measure(real(400, 2)).ratio_floor, "it does not depend on what was generated"


@pytest.mark.parametrize("width", [0.7, 0.6])
def test_honest_images_that_are_more_alike_than_real_ones_have_no_excess(width: float) -> None:
    """Such as guided or filtered samples: C_T alone would call them copies."""
    drawn = real(2000, 7)
    centres = 6 * np.eye(6, dtype=np.float32)[drawn.labels]
    found = measure(LabelledFeatures(centres + width * (drawn.values - centres), drawn.labels))
    assert found.c_t < -3
    assert abs(found.c_t_excess) < 1.5


def test_the_ratio_of_copies_is_small_where_all_training_images_are_compared() -> None:
    """The 800 training images are matched by half of the 1,600 held-out ones."""
    found = copying(near(TRAIN, 0.05), TRAIN, real(1600, 1), seed=0)
    assert found.ratio < 0.2
    assert copying(TRAIN, TRAIN, real(1600, 1), seed=0).ratio == 0


def test_copies_of_held_out_images_are_no_copies_of_training_images() -> None:
    found = measure(near(HELD_OUT, 0.01))
    assert abs(found.c_t) < 1.5
    assert found.ratio < 1e9


def test_an_underfitter_is_far_above_zero() -> None:
    assert measure(near(real(400, 5), 2.0)).c_t > 3


def test_copying_in_one_cell_shows_though_another_is_underfitted() -> None:
    """A mean over cells weighs each by the held-out images in it."""
    copied, wide = near(TRAIN, 0.01), near(real(800, 5), 2.5)
    chosen = [(copied, copied.labels < 3), (wide, wide.labels == 3)]
    values, labels = (
        np.concatenate([vars(part)[name][rows] for part, rows in chosen]) for name in ("values", "labels")
    )
    assert measure(LabelledFeatures(values, labels)).c_t < -3


def test_z_is_the_papers_by_hand() -> None:
    """One cell, distances 1, 2, 3 against 2, 5: pairs greater 1, ties 1, so U = 1.5, minus 3, over sqrt(6 * 6 / 12)."""
    train = np.zeros((4, 1))
    generated, held_out = np.array([[1.0], [2], [3]]), np.array([[2.0], [5]])
    c_t, cells = data_copying(generated, train, held_out, seed=0, num_cells=1, least=1)
    assert cells == 1
    assert c_t == pytest.approx((1.5 - 3) / np.sqrt(3))


def test_cells_with_too_few_generated_images_do_not_count() -> None:
    """All generated images are of one cluster: the cells of the others say nothing."""
    one = LabelledFeatures(TRAIN.values[TRAIN.labels == 0], TRAIN.labels[TRAIN.labels == 0])
    c_t, cells = data_copying(one.values, TRAIN.values, HELD_OUT.values, seed=0, num_cells=4, least=20)
    assert cells == 1
    assert c_t < -5


def test_distance_ratio_by_hand() -> None:
    images, train, held_out = np.array([[0.0], [1], [4], [9]]), np.array([[0.0], [3]]), np.array([[2.0], [9]])
    assert distance_ratio(images, train, held_out) == pytest.approx(0.75)  # of 0/2, 1/1, 1/2 and 6/0: between 0.5 and 1
    assert np.isnan(distance_ratio(train, train, train)), "images on both sets have no ratio"


def test_authenticity_and_memorisation_by_hand() -> None:
    """On a line: training images at 0, 3 and 10, whose nearest others are 3, 3 and 7 away."""
    train = np.array([[0.0], [3], [10]])
    images = np.array([[0.5], [-4], [1.5], [12], [18]])
    assert authenticity(images, train) == pytest.approx(2 / 5), "4 > 3 and 8 > 7"
    assert memorisation(images, train) == pytest.approx(2 / 5), "0.5 of 2.5 and 2 of 9"
    assert authenticity(train, train) == 0
    assert memorisation(train, train) == 1
    for measure_of in (authenticity, memorisation):
        assert np.isnan(measure_of(images[:0], train))
        assert np.isnan(measure_of(images, train[:1]))


def test_copies_are_less_authentic_and_more_memorised_than_honest_images() -> None:
    copied, honest = measure(near(TRAIN, 0.05)), measure(real(400, 2))
    assert copied.authentic < 0.05 < copied.authentic_floor
    assert copied.memorised > 0.8 > copied.memorised_floor
    assert honest.authentic == pytest.approx(honest.authentic_floor, abs=0.1)
    assert honest.memorised == pytest.approx(honest.memorised_floor, abs=0.05)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_too_few_images_give_nan(count: int) -> None:
    few = LabelledFeatures(HELD_OUT.values[:count], HELD_OUT.labels[:count])
    found = measure(few)
    assert np.isnan(found.c_t)
    assert found.num_cells == 0
    assert np.isnan(found.ratio) == np.isnan(found.z) == (count == 0)
    without = copying(TRAIN, TRAIN, few, seed=0)
    assert np.isnan(without.c_t_floor)
    assert np.isnan(without.z) == (count == 0)


def test_the_same_seed_gives_the_same_numbers() -> None:
    before = torch.random.get_rng_state()
    state = np.random.get_state()[1].tolist()  # noqa: NPY002 (to see that it is not used)
    first = measure(real(400, 2))
    assert measure(real(400, 2)) == first
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
