"""Copies of known images among others: exact ones, mirrored, moved by a pixel, noised.

`match` finds the closest known image of each image by pixels, `calibrate` learns from real images what is nearer than
chance, `find_copies` applies it. Images that are compared have one shape (H, W, C).
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from touchstone.data.copies import CLOSE, SIDE, mirrored, near_copies, thumbnails
from touchstone.data.ops.resize import scale
from touchstone.seeds import generator

SHORTLIST = 32  # known images, plain and mirrored, whose pixels are compared
K = 8  # the neighbour whose distance is the measure of near: up to K - 2 copies of one known image hide nothing
MOVES = [(0, 0), *((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))]  # px
SMALL = 24  # px: below, a move by one pixel changes the thumbnail much
NEARER = 0.0025  # share of honest real images that may pass for near copies
NATURAL = -8  # log10 p of copies.near_copies; its own threshold would take unrelated digits for copies
MARGIN = 0.9  # of the limit that a single image sets: in other halves of the same set the least ratio is lower
LIMITS = 0.25, 0.6  # bounds of the limit; the lower one where there are fewer than FEW real images to learn from
FEW = 100
SIDE_PX = 64  # larger images are compared at this size: pixels cost, and a copy is one at any size
BLOCK = 128  # images at a time
NUMBERS = 1 << 23  # pixels of shortlisted images at a time


@dataclass(frozen=True)
class Matches:
    """The closest known image of each of N images.

    row: int64 (N,), -1 without known images. mirrored: bool (N,), whether it is flipped. distance: float64 (N,), root
    mean square of the grey levels' difference over the overlap, least over moves by up to a pixel. ratio: float64
    (N,), distance over that of the K-th closest, 0 to 1; NaN below K known images. exact: bool (N,), all pixels equal.
    """

    row: np.ndarray
    mirrored: np.ndarray
    distance: np.ndarray
    ratio: np.ndarray
    exact: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """limit: the ratio up to which a match is a near copy; found of count real images count as such."""

    limit: float
    found: int
    count: int


@dataclass(frozen=True)
class Copies:
    """matches of N images; near: bool (N,), near copies that are not exact; calibration: what near was measured by."""

    matches: Matches
    near: np.ndarray
    calibration: Calibration


def find_copies(images: np.ndarray, known: np.ndarray, calibration: Calibration) -> Copies:
    """Exact and near copies of known images uint8 (M, H, W, C) among uint8 (N, H, W, C)."""
    matches = match(images, known)
    return Copies(matches, _near(matches, calibration.limit), calibration)


def calibrate(reference: np.ndarray, known: np.ndarray, *, seed: int) -> Calibration:
    """The limit for near copies of known images, learnt from real images uint8 (R, H, W, C) that are none of them.

    How close unrelated images lie depends on the data set, and on the place in it: so the measure is the distance over
    that of the K-th neighbour. The limit is the ratio below which a share NEARER of the real images lies; where that
    is less than two images, MARGIN of the least of all. Natural copies are left out before. How many real images
    count as near copies is told by two halves, drawn at random, each by the limit of the other.
    """
    matches = match(reference, known)
    honest = ~natural_copies(reference, known) & ~matches.exact
    order = generator(seed, "calibrate").permutation(len(reference))
    found = 0
    for learnt, told in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        limit = _limit(matches.ratio[learnt[honest[learnt]]])
        found += int(_near(matches, limit)[told].sum())
    return Calibration(_limit(matches.ratio[honest]), found, len(reference))


def natural_copies(images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool (N,): images that are copies of known ones beyond doubt: copies.near_copies with p below 10^NATURAL."""
    close = int(np.clip(len(known) / 100, *CLOSE))
    pairs = near_copies(thumbnails(images), thumbnails(known), close=close)
    found = np.zeros(len(images), bool)
    found[pairs.held_out[pairs.log10_p <= NATURAL]] = True
    return found


def closest(matches: Matches, *, count: int = 32) -> np.ndarray:
    """Rows of the `count` images closest to a known one, the closest first, int64; for a gallery."""
    known = np.flatnonzero(matches.row >= 0)
    return known[np.argsort(matches.distance[known], kind="stable")][:count]


def match(images: np.ndarray, known: np.ndarray) -> Matches:
    """The closest known image of each: a shortlist by thumbnails, then all of its pixels.

    Thumbnails here keep brightness and contrast: those of one colour, or nearly, do not all look the same then.
    """
    if images.dtype != np.uint8 or known.dtype != np.uint8 or images.shape[1:] != known.shape[1:]:
        raise ValueError(
            f"images: got {images.dtype} {images.shape} and {known.dtype} {known.shape}, expected uint8 of one shape"
        )
    row, flipped = np.full(len(images), -1), np.zeros(len(images), bool)
    distance, ratio = np.full(len(images), np.nan), np.full(len(images), np.nan)
    if len(known):
        shown = _reduced(known)
        small = _cells(shown)
        both = np.concatenate([small, mirrored(small)])
        for start in range(0, len(images), BLOCK):
            block = _reduced(images[start : start + BLOCK])
            part = slice(start, start + len(block))
            found, distances = _compare(block, shown, _shortlist(block, both))
            row[part], flipped[part] = found[:, 0] % len(known), found[:, 0] >= len(known)
            distance[part], ratio[part] = distances[:, 0], _ratio(found % len(known), distances)
    same, same_flipped = _same(images, known)
    exact = same >= 0
    return Matches(
        row=np.where(exact, same, row),
        mirrored=np.where(exact, same_flipped, flipped),
        distance=np.where(exact, 0, distance),
        ratio=ratio,
        exact=exact,
    )


def _limit(ratios: np.ndarray) -> float:
    """Of the ratios of honest real images (N,)."""
    if len(ratios) < FEW or np.isnan(ratios).any():
        return LIMITS[0]
    rank = max(1, int(NEARER * (len(ratios) + 1)))
    limit = np.partition(ratios, rank - 1)[rank - 1] * (MARGIN if rank == 1 else 1)
    return float(np.clip(limit, *LIMITS))


def _near(matches: Matches, limit: float) -> np.ndarray:
    return ~matches.exact & (matches.ratio <= limit)


def _reduced(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C), neither side above SIDE_PX."""
    height, width = images.shape[1:3]
    if max(height, width) <= SIDE_PX:
        return np.asarray(images)
    factor = SIDE_PX / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return np.stack([scale(np.ascontiguousarray(image), *size) for image in images]) if len(images) else images


def _cells(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) -> float32 (N, 8 * 8 * C), area averages."""
    small = np.zeros((len(images), SIDE * SIDE * images.shape[-1]), np.float32)
    for i, image in enumerate(images):
        small[i] = scale(np.ascontiguousarray(image), SIDE, SIDE).ravel()
    return small


def _shortlist(images: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Rows of the nearest thumbnails of `both` (2M, D) to each of B images, int64 (B, SHORTLIST or 2M)."""
    size = min(SHORTLIST, len(both))
    norms = np.einsum("md,md->m", both, both)
    least = np.full((len(images), len(both)), np.inf, np.float32)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    for y, x in MOVES if min(height, width) < SMALL else MOVES[:1]:
        moved = _cells(padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width])
        own = np.einsum("bd,bd->b", moved, moved)[:, None]
        np.minimum(least, own + norms - 2 * (moved @ both.T), out=least)
    return np.sort(np.argpartition(least, size - 1, axis=1)[:, :size], axis=1)


def _compare(images: np.ndarray, known: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Aligned distances of B images to the known ones in their rows (B, S), mirrored from M on: both sorted by it."""
    step = max(1, NUMBERS // (rows.shape[1] * known[0].size))
    distances = np.concatenate(
        [
            _aligned(images[start : start + step], known, rows[start : start + step])
            for start in range(0, len(images), step)
        ]
    )
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)


def _aligned(images: np.ndarray, known: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Least root mean square over MOVES, float64 (B, S)."""
    shown = known[rows % len(known)].astype(np.float32)  # (B, S, H, W, C)
    flip = rows >= len(known)
    shown[flip] = shown[flip][:, :, ::-1]
    own = images[:, None].astype(np.float32)
    height, width = images.shape[1:3]
    least = np.full(rows.shape, np.inf)
    for y, x in MOVES:
        here = own[:, :, max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
        there = shown[:, :, max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)]
        np.minimum(least, np.square(here - there).mean((2, 3, 4)), out=least)
    return np.sqrt(least)


def _ratio(rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Least distance over the K-th of different known images (B,), both (B, S) sorted; 1 where all K are equal to it.

    A known image counts once, plain or mirrored: symmetrical ones would fill two places.
    """
    again = np.tril(rows[:, :, None] == rows[:, None, :], -1).any(2)
    once = np.sort(np.where(again, np.inf, distances), axis=1)
    if once.shape[1] < K:
        return np.full(len(rows), np.nan)
    kth = once[:, K - 1]
    return np.where(np.isinf(kth), np.nan, np.where(kth > 0, once[:, 0] / np.where(kth > 0, kth, 1), 1))


def _same(images: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first known image with the very pixels of each, int64 (N,), -1 for none, and whether it is mirrored."""
    first: dict[bytes, tuple[int, bool]] = {}
    for flip in (False, True):
        for row, image in enumerate(known):
            first.setdefault(_digest(image[:, ::-1] if flip else image), (row, flip))
    found = [first.get(_digest(image), (-1, False)) for image in images]
    return np.array([row for row, _ in found], np.int64), np.array([flip for _, flip in found], bool)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()
