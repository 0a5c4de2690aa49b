import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from touchstone.audit import pairs
from touchstone.audit.features import by_thumbnails
from touchstone.audit.pairs import (
    LIMITS,
    Calibration,
    calibrate,
    closest,
    find_copies,
    match,
    recall,
)
from touchstone.data.as_prepared import stacked
from touchstone.data.batches import View
from touchstone.data.copies import near_copies
from touchstone.data.imageset import ImageSet, load
from touchstone.data.lazy_images import StoredImages, as_array
from touchstone.data.ops.resize import scale
from touchstone.data.sheets import save_with_sheet
from touchstone.data.thumbnails import thumbnails

NEVER = Calibration(limit=0.25, num_near=0, num_real=100)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """1,797 digits, uint8 (N, 16, 16, 1), in random order."""
    images = np.rint(load_digits().images * 255 / 16).astype(np.uint8)[..., None]
    return np.stack([scale(image, 16, 16) for image in images])[np.random.default_rng(0).permutation(len(images))]


def colours(count: int, seed: int, side: int = 32) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([scale(image, side, side) for image in noise])


def noisy(images: np.ndarray, sigma: float = 4) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, sigma, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def moved(images: np.ndarray) -> np.ndarray:
    """Each by a pixel in a direction of its own, edges repeated."""
    moves = [(y, x) for y in (0, 1, 2) for x in (0, 1, 2) if (y, x) != (1, 1)]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    corners = [moves[i % 8] for i in range(len(images))]
    return np.stack([padded[i, y : y + height, x : x + width] for i, (y, x) in enumerate(corners)])


def planted(images: np.ndarray) -> dict[str, np.ndarray]:
    rolled = [np.roll(image, ((i % 3) - 1, 1), (0, 1)) for i, image in enumerate(images)]
    return {
        "exact": images,
        "mirrored": images[:, :, ::-1],
        "wrapped": np.stack(rolled),
        "moved": moved(images),
        "noisy": noisy(images),
        "mirrored, moved and noisy": noisy(moved(images[:, :, ::-1])),
        "twice as noisy": noisy(images, 8),
    }


def check(train: np.ndarray, calibrating: np.ndarray, honest: np.ndarray, most_alarms: float) -> Calibration:
    calibration = calibrate(calibrating, train, seed=0)
    copied = np.arange(0, len(train), max(1, len(train) // 200))
    for kind, images in planted(train[copied]).items():
        found = find_copies(images, train, calibration)
        hit = (found.near | found.matches.exact) & (found.matches.row == copied)
        assert hit.mean() >= (0.9 if kind == "twice as noisy" else 0.99), kind
        assert found.matches.exact.all() == (kind in ("exact", "mirrored")), kind
        assert not (found.near & found.matches.exact).any()
    alarms = find_copies(honest, train, calibration)
    assert (alarms.near | alarms.matches.exact).mean() <= most_alarms
    return calibration


@pytest.mark.parametrize("train", [200, 900])
def test_copies_planted_among_digits_are_found_and_honest_digits_are_not(digits: np.ndarray, train: int) -> None:
    calibration = check(digits[:train], digits[900:1348], digits[1348:], 0.01)
    assert calibration.num_real == 448
    assert calibration.num_near <= 5


@pytest.mark.slow
def test_copies_planted_among_cifar10(test_data: Path, tmp_path: Path) -> None:
    """All of its training images; natural copies are no honest images and are taken out before."""
    from touchstone.data.sources import cifar10

    subprocess.run([sys.executable, str(test_data / "restore_cifar10.py"), str(tmp_path)], check=True)
    (tmp_path / "raw").mkdir()
    cifar10.download(to=tmp_path / "raw", path=tmp_path, mirror=str(tmp_path))
    raw = cifar10.read(raw=tmp_path / "raw")
    test = np.array([image.split == "test" for image in raw.images])
    train, held_out = raw.array[~test], raw.array[test]
    pairs = near_copies(thumbnails(held_out), thumbnails(train), close=20)
    assert 0.02 < len(set(pairs.held_out)) / len(held_out) < 0.05, "3.3 % by eye"
    honest = np.setdiff1d(np.arange(1, len(held_out), 2), pairs.held_out)[:2000]
    check(train, held_out[::2], held_out[honest], 0.01)


def test_the_closest_image_its_mirror_image_and_its_distance() -> None:
    originals = colours(30, 0)
    originals[7] = np.clip(originals[7], 20, 200)
    images = np.stack(
        [originals[3], originals[4, :, ::-1], np.roll(originals[5], 1, axis=1), originals[7] + 10, colours(1, 1)[0]]
    )
    found = match(images, originals)
    assert found.row[:4].tolist() == [3, 4, 5, 7]
    assert found.mirrored[:4].tolist() == [False, True, False, False]
    assert found.exact.tolist() == [True, True, False, False, False]
    assert found.distance[:4].tolist() == [0, 0, 0, 10]
    assert found.distance[4] > 20
    assert found.ratio[2] == 0
    assert found.ratio[4] > 0.7
    assert closest(found, count=3).tolist() == [0, 1, 2]
    assert closest(found).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_distance_is_the_least_root_mean_square_over_moves_by_a_pixel(dtype: type) -> None:
    """With so few originals the shortlist holds all of them, plain and mirrored, so the definition gives the answer."""
    levels = int(np.iinfo(dtype).max)
    random = np.random.default_rng(0)
    images, originals = (random.integers(0, levels + 1, (count, 9, 7, 3)).astype(dtype) for count in (5, 12))
    both = np.concatenate([originals, originals[:, :, ::-1]]).astype(np.float64) * (255 / levels)
    expected = np.full((5, 24), np.inf)
    for y, x in [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]:
        here = images[:, max(0, y) : 9 + min(0, y), max(0, x) : 7 + min(0, x)].astype(np.float64) * (255 / levels)
        there = both[:, max(0, -y) : 9 + min(0, -y), max(0, -x) : 7 + min(0, -x)]
        squares = np.square(here[:, None] - there[None]).mean((2, 3, 4))
        expected = np.minimum(expected, np.sqrt(squares))
    found = match(images, originals)
    np.testing.assert_allclose(found.distance, expected.min(1), rtol=1e-9)
    np.testing.assert_array_equal(found.row + 12 * found.mirrored, expected.argmin(1))


def test_several_copies_of_an_original_do_not_hide_one_another() -> None:
    originals = colours(60, 0)
    originals[1:6] = noisy(originals[[0, 0, 0, 0, 0]], 2)
    assert find_copies(noisy(originals[:1]), originals, NEVER).near.all()


def test_images_of_one_colour_are_exact_copies_or_nothing() -> None:
    grey = np.repeat(np.arange(100, 140, dtype=np.uint8), 32 * 32).reshape(40, 32, 32, 1)
    assert find_copies(grey[:20], grey, NEVER).matches.exact.all()
    for originals in (np.repeat(grey[20:21], 20, axis=0), grey[20:]):
        found = find_copies(grey[:10], originals, NEVER)
        assert not found.near.any()
        assert not found.matches.exact.any()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_with_few_originals_only_exact_copies_are_found(count: int) -> None:
    images = colours(10, 0)
    found = find_copies(np.concatenate([images, noisy(images)]), images[:count], NEVER)
    assert np.flatnonzero(found.matches.exact).tolist() == list(range(count))
    assert not found.near.any()
    assert (found.matches.row < 0).all() == (count == 0)
    assert len(closest(found.matches)) == (20 if count else 0)


def test_no_images_at_all() -> None:
    images = colours(20, 0)
    found = find_copies(images[:0], images, NEVER)
    assert len(found.near) == len(found.matches.row) == 0
    assert calibrate(images[:0], images, seed=0) == Calibration(LIMITS[0], 0, 0)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got uint8 \(3, 16, 16, 3\) and uint8 \(3, 32, 32, 3\)"):
        match(colours(3, 0, side=16), colours(3, 0))


def test_natural_copies_do_not_loosen_or_tighten_the_limit() -> None:
    """15 of 300 real images are copies of originals: they count as near, and the limit remains that of the others."""
    originals, honest = colours(300, 0), colours(300, 1)
    mixed = honest.copy()
    mixed[:15] = noisy(originals[:15])
    plain, with_copies = calibrate(honest, originals, seed=0), calibrate(mixed, originals, seed=0)
    assert LIMITS[0] < with_copies.limit == pytest.approx(plain.limit, abs=0.05)
    assert with_copies.num_near >= 15 > plain.num_near


def test_with_few_real_images_the_limit_is_the_strict_one() -> None:
    assert calibrate(colours(90, 1), colours(300, 0), seed=0).limit == LIMITS[0]


def test_no_more_images_than_needed_are_learnt_from(digits: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "REFERENCE", 150)
    known = calibrate(digits[300:1300], digits[:200], seed=0)
    assert known.num_real == 150
    assert known == calibrate(digits[300:1300], digits[:200], seed=0)


def test_squares_of_images_of_several_sizes_are_searched_like_an_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    alone = [rng.integers(0, 256, (32, 32 + i % 9, 3), np.uint8) for i in range(60)]
    padded, sizes = stacked(alone, "shortest_edge")
    ids = [str(i) for i in range(60)]
    table = pd.DataFrame({"id": ids, "label": "a", "source_id": ids, "origin": "real"})
    table[["height", "width"]] = sizes
    save_with_sheet(tmp_path / "x", ImageSet(padded, table), sheet_size=1)
    lazy = by_thumbnails(load(tmp_path / "x"), size_px=32)
    eager = View(32, 32).squares(padded, sizes)
    assert lazy.images.shape == eager.shape
    np.testing.assert_array_equal(np.asarray(lazy.images), eager)
    np.testing.assert_array_equal(lazy.images.take(np.array([3, 50]))[:], eager[[3, 50]])
    assert lazy.values.shape == (60, 192)
    calibration = calibrate(lazy.images, lazy.images, seed=0)
    assert calibration == calibrate(eager, eager, seed=0)
    found = find_copies(eager[20:30, :, ::-1], lazy.images, calibration)
    assert found.matches.row.tolist() == list(range(20, 30))
    assert found.matches.mirrored.all()


@pytest.mark.parametrize("side", [32, 100])
def test_originals_that_memory_should_not_hold_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    pixels, sizes = colours(60, 1, side), np.full((60, 2), side)
    originals = as_array(StoredImages([pixels], sizes, np.stack([np.zeros(60, np.int64), np.arange(60)], axis=1)))
    images = np.concatenate([colours(20, 2, side), pixels[:20, :, ::-1]])
    held = match(images, pixels)
    monkeypatch.setattr(pairs, "HELD", 0)
    small = pairs.reduced(originals)
    assert small.shape == (60, min(side, 64), min(side, 64), 3)
    assert isinstance(small.base, np.memmap)
    for field, value in vars(match(images, originals)).items():
        np.testing.assert_array_equal(value, getattr(held, field))
    assert held.exact.tolist() == [False] * 20 + [True] * 20
    assert held.mirrored[20:].all()


def test_the_same_call_gives_the_same_numbers(digits: np.ndarray) -> None:
    first, again = match(digits[900:1000], digits[:200]), match(digits[900:1000], digits[:200])
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, vars(again)[name])
    assert calibrate(digits[900:1100], digits[:200], seed=3) == calibrate(digits[900:1100], digits[:200], seed=3)


def test_the_recall_is_that_of_planted_copies(digits: np.ndarray) -> None:
    found = recall(digits[:200], calibrate(digits[900:1348], digits[:200], seed=0), seed=0)
    assert found["mirrored"] == found["moved"] == 1
    assert found["noisy"] > 0.9
    assert 0 < found["blended"] < 0.5 * found["noisy"], "a blend with another digit is harder to find"
    assert found == recall(digits[:200], calibrate(digits[900:1348], digits[:200], seed=0), seed=0)
    blind = recall(digits[:200], Calibration(limit=0, num_near=0, num_real=448), seed=0)
    assert blind["mirrored"] == 1, "exact"
    assert blind["noisy"] == blind["blended"] == 0


def test_the_recall_without_originals_is_unknown() -> None:
    assert all(np.isnan(share) for share in recall(colours(1, 0)[:0], NEVER, seed=0).values())
