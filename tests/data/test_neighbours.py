"""The search in blocks against all pairs, in sets that are easy, and in those made to break it."""

import tracemalloc

import cv2
import numpy as np
import pytest

from touchstone.data import neighbours
from touchstone.data.copies import ALPHA, UNLIKE, near_copies
from touchstone.data.thumbnails import is_textured, mirrored, standardised, thumbnails

COUNT = 20
WITHIN = 0.45


def photographs(count: int, seed: int, channels: int = 3) -> np.ndarray:
    """Thumbnails of smooth random pictures."""
    noise = np.random.default_rng(seed).integers(0, 256, (count, 5, 5, channels), np.uint8)
    size = (16, 16)
    pictures = [cv2.resize(each, size, interpolation=cv2.INTER_CUBIC).reshape(*size, channels) for each in noise]
    return thumbnails(np.stack(pictures))


def changed(small: np.ndarray, seed: int, by: int = 1) -> np.ndarray:
    """Each thumbnail with one value changed: they lie much nearer to one another than float32 tells apart."""
    rng = np.random.default_rng(seed)
    out = small.astype(int)
    out[np.arange(len(out)), rng.integers(0, out.shape[1], len(out))] += by
    return np.clip(out, 0, 255).astype(np.uint8)


def repeated(number: int, seed: int) -> np.ndarray:
    """Few pictures, each many times over."""
    return photographs(5, 7)[np.random.default_rng(seed).integers(0, 5, number)]


def symmetrical(number: int, seed: int) -> np.ndarray:
    """Pictures that are their own mirror images."""
    small = photographs(number, seed)
    return np.minimum(small, mirrored(small))


def noise(number: int, seed: int, low: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (number, 192), np.uint8)


def near(number: int, seed: int) -> np.ndarray:
    """Variations of a few pictures, from hardly different to unrelated."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0, 60, (number, 1))
    return np.clip(repeated(number, seed) + rng.normal(0, sigma, (number, 192)), 0, 255).astype(np.uint8)


def one_direction(number: int, seed: int) -> np.ndarray:
    """Blends of two pictures, which differ in one direction only."""
    one, other = photographs(2, 3).astype(float)
    share = np.random.default_rng(seed).uniform(0, 1, (number, 1))
    return np.rint(share * one + (1 - share) * other).astype(np.uint8)


SETS = {
    "photographs": photographs,
    "grey": lambda number, seed: photographs(number, seed, channels=1),
    "variations": near,
    "noise": noise,
    "hardly any contrast": lambda number, seed: noise(number, seed, 100, 102),
    "the same over and over": repeated,
    "all but the same": lambda number, seed: changed(repeated(number, seed), seed),
    "one value apart from a single colour": lambda number, seed: changed(np.full((number, 192), 7, np.uint8), seed, 3),
    "symmetrical": symmetrical,
    "one direction": one_direction,
    "sorted": lambda number, seed: np.sort(one_direction(number, seed), axis=0),
}


def all_pairs(query: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The distances of all pairs, of mirrored images after all plain ones, float64 (N, 2M), from whole numbers."""
    both = np.concatenate([images, mirrored(images)]).astype(np.int64)
    one = query.astype(np.int64)
    covariance = one.shape[1] * one @ both.T - np.outer(one.sum(1), both.sum(1))
    own, other = (np.sqrt(each.shape[1] * (each**2).sum(1) - each.sum(1) ** 2) for each in (one, both))
    return np.sqrt(np.maximum(2 - 2 * (covariance / own[:, None] / other), 1e-12))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that a test's few images fill many times."""
    for name, size in (("QUERIES", 16), ("IMAGES", 50), ("GATHERED", 40)):
        monkeypatch.setattr(neighbours, name, size)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("number", [24, 333])
@pytest.mark.parametrize("name", SETS)
def test_the_search_finds_what_all_pairs_find(name: str, number: int) -> None:
    query, images = SETS[name](130, 0), SETS[name](number, 1)
    planted = min(40, number // 2)  # whatever the set, some are near
    images[:planted] = changed(query[:planted], 2)
    images[planted // 2 : planted] = mirrored(images[planted // 2 : planted])
    expected = all_pairs(query, images)
    rows, nearest, distance = (
        np.concatenate(part) for part in zip(*neighbours.gather(query, images, within=WITHIN, count=COUNT), strict=True)
    )
    assert rows.tolist() == np.flatnonzero((expected <= WITHIN).any(1)).tolist()
    assert len(rows) >= planted
    assert (distance == np.sort(expected[rows], axis=1)[:, :COUNT]).all()
    assert (np.take_along_axis(expected[rows], nearest, 1) == distance).all()
    assert all(len(set(row)) == COUNT for row in nearest.tolist())
    order = np.argsort(expected[rows], axis=1, kind="stable")[:, :COUNT]
    nearer = distance < distance[:, -1:]
    assert (nearest[nearer] == order[nearer]).all(), "images at equal distances come by number"


@pytest.mark.parametrize("name", SETS)
def test_blocks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query, images = SETS[name](70, 0), SETS[name](150, 1)
    images[:20] = changed(query[:20], 2)
    found = []
    for queries, block, threads in ((256, 2048, 1), (3, 7, 4)):
        monkeypatch.setattr(neighbours, "QUERIES", queries)
        monkeypatch.setattr(neighbours, "IMAGES", block)
        monkeypatch.setattr(neighbours.os, "cpu_count", lambda threads=threads: threads)
        found.append(near_copies(query, images, close=5))
    assert all((vars(found[0])[key] == vars(found[1])[key]).all() for key in vars(found[0]))


@pytest.mark.parametrize("number", [1, 40])
@pytest.mark.parametrize("width", [0, 1, 5, 20, 60, 96])
def test_the_bound_lies_above_every_cosine_plain_and_mirrored(width: int, number: int) -> None:
    """It holds for all thumbnails, also where fewer of them than there are directions taught the directions."""
    every = np.concatenate([make(40, 0) for name, make in SETS.items() if name != "grey"])
    small = every[::number]
    even, odd = (neighbours._principal(small, sign)[1][:, :width] for sign in (1, -1))
    assert even.T @ even == pytest.approx(np.eye(width), abs=1e-5)
    assert odd.T @ odd == pytest.approx(np.eye(width), abs=1e-5)
    assert even.T @ odd == pytest.approx(np.zeros((width, width)), abs=1e-5)
    small = every
    even_part, odd_part = neighbours._Bounds(even, odd)(small)
    bound = even_part @ even_part.T + np.abs(odd_part @ odd_part.T)
    unit = standardised(small).astype(np.float64)
    most = np.maximum(unit @ unit.T, unit @ mirrored(unit).T)
    assert (bound >= most - neighbours.SLACK / 10).all()
    if width == 96:  # all directions there are: no length lies across them
        assert bound == pytest.approx(most, abs=1e-3)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", SETS)
def test_near_copies_are_those_of_their_definition(name: str) -> None:
    """For each image, the definition in `near_copies` is worked out from all of its distances."""
    held_out, train, close = SETS[name](60, 0), SETS[name](200, 1), 5
    train[:25] = changed(held_out[:25], 2)
    train[25:30] = mirrored(held_out[25:30])
    held_out[-1] = train[-1] = 9  # of a single colour
    expected: dict[tuple[int, int], bool] = {}
    rows = np.flatnonzero(is_textured(train))
    for image in np.flatnonzero(is_textured(held_out)):
        distances = all_pairs(held_out[image : image + 1], train[rows])[0]
        near = np.sort(distances)[: 4 * close]
        spread = np.log(near[-1] / near[close - 1 : -1]).mean()
        for match in np.argsort(distances, kind="stable"):
            nearer = min(distances[match] / near[close - 1], 1) ** (1 / max(spread, 1e-3))
            p = 1 - (1 - nearer) ** (close - 1) if nearer > 1e-9 else (close - 1) * nearer
            if p <= ALPHA / len(held_out) and distances[match] <= UNLIKE:
                expected.setdefault((int(image), int(rows[match % len(rows)])), bool(match >= len(rows)))
    found = near_copies(held_out, train, close=close)
    got = dict(
        zip(zip(found.held_out.tolist(), found.train.tolist(), strict=True), found.mirrored.tolist(), strict=True)
    )
    assert got == expected


@pytest.mark.parametrize("name", ["photographs", "noise", "the same over and over"])
def test_memory_does_not_grow_with_the_number_of_pairs(name: str) -> None:
    """Four times the images are 16 times the pairs; the peak, to which blocks that threads wait for add, stays."""

    def peak(number: int) -> int:
        query, images = SETS[name](number // 4, 0), SETS[name](number, 1)
        tracemalloc.start()
        for _ in neighbours.gather(query, images, within=WITHIN, count=COUNT):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(3000), peak(12_000)
    assert many < 2 * few
