"""Copies of given images, the originals, among other images: exact, mirrored, moved by a pixel, or with noise.

`calibrate` learns from real images how close chance comes; `find_copies` applies that to others of the same shape.
"""

import hashlib
import math
from dataclasses import dataclass
from tempfile import TemporaryFile

import numpy as np

from touchstone.data.copies import CLOSE, near_copies
from touchstone.data.lazy_images import release, take
from touchstone.data.levels import is_pixels, per_level, white
from touchstone.data.neighbours import Gallery, largest
from touchstone.data.ops.resize import scale
from touchstone.data.thumbnails import thumbnails
from touchstone.seeds import generator

SHORTLIST = 32  # originals, plain and mirrored, whose pixels are compared
K = 8  # near is measured against the K-th neighbour: up to K - 2 copies among the originals hide nothing
MOVES = [(0, 0), *((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))]  # px
SMALL = 24  # px: below, a move by one pixel changes the thumbnail much
NEARER = 0.0025  # share of honest real images that may pass for near copies
NATURAL = -8  # log10 p of copies.near_copies; its own threshold would take unrelated digits for copies
MARGIN = 0.9  # of the limit that a single image sets: in other halves of the same set the smallest ratio is lower
LIMITS = 0.25, 0.6  # bounds of the limit; the lower one where there are fewer than FEW real images to learn from
FEW = 100
REFERENCE = (
    10_000  # real images to learn from at most: more hardly move the limit, and each is compared with all originals
)
PLANTED = 200  # copies of each kind, to measure the recall
NOISE, BLEND = 8, 0.8  # standard deviation in grey levels; share of the original
SIDE_PX = 64  # larger images are compared at this size: pixels cost, and a copy is a copy at any size
BLOCK = 128  # images at a time
CELLS = 2048  # originals, plain and mirrored, whose thumbnails are compared at a time: they lie in the cache
NUMBERS = 1 << 20  # pixels of shortlisted images at a time: 8 MB
HELD = 1 << 28  # bytes of reduced images in memory


@dataclass(frozen=True)
class Matches:
    """The original that is closest to each of N images."""

    row: np.ndarray
    """int64 (N,), the row of the original; -1 without originals."""
    mirrored: np.ndarray
    """bool (N,), whether the original matches mirrored."""
    distance: np.ndarray
    """float64 (N,), root mean square of the difference over the overlap, in grey levels; the least over MOVES."""
    ratio: np.ndarray
    """float64 (N,), distance over that of the K-th closest original, 0 to 1; NaN with fewer than K originals."""
    exact: np.ndarray
    """bool (N,), whether all pixels are equal."""

    def near(self, limit: float) -> np.ndarray:
        """bool (N,), near copies that are not exact: those with a ratio up to `limit`."""
        return ~self.exact & (self.ratio <= limit)


@dataclass(frozen=True)
class Originals:
    """M originals, prepared for comparisons: rows from M on are the mirrored ones."""

    pixels: np.ndarray
    """(M, H, W, C), see `reduced`."""
    small: Gallery
    """Their thumbnails."""
    energies: np.ndarray
    """float64 (2M, moves), the sums of squares where they overlap an image that is moved."""

    @classmethod
    def of(cls, originals: np.ndarray) -> "Originals":
        """Prepare pixels (M, H, W, C)."""
        pixels = reduced(originals)
        return cls(pixels, Gallery(thumbnails(pixels)), _energies(pixels))

    def shortlist(self, images: np.ndarray) -> np.ndarray:
        """Return the rows of the nearest thumbnails to each of B reduced images, int64 (B, SHORTLIST or 2M)."""
        size = min(SHORTLIST, len(self.small))
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        height, width = images.shape[1:3]
        moves = MOVES if min(height, width) < SMALL else MOVES[:1]
        moved = [_levels(thumbnails(padded[:, 1 + y : 1 + y + height, 1 + x : 1 + x + width])) for y, x in moves]
        own = [np.einsum("bd,bd->b", each, each)[:, None] for each in moved]
        kept, best = np.zeros((len(images), size), np.int64), np.full((len(images), size), -np.inf, np.float32)
        for rows in np.split(np.arange(len(self.small)), range(CELLS, len(self.small), CELLS)):
            cells = _levels(self.small.take(rows))
            norms = np.einsum("md,md->m", cells, cells)
            least = np.full((len(images), len(rows)), np.inf, np.float32)
            for each, square in zip(moved, own, strict=True):
                np.minimum(least, square + norms - 2 * (each @ cells.T), out=least)
            kept, best = largest(kept, best, rows, -least)
        return np.sort(kept, axis=1)

    def compared(self, images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows (B, S) and their distances (B, S) to B reduced images, both sorted by distance."""
        step = max(1, NUMBERS // (rows.shape[1] * self.pixels[0].size))
        parts = (slice(start, start + step) for start in range(0, len(images), step))
        distances = np.concatenate([_aligned(images[part], self.pixels, self.energies, rows[part]) for part in parts])
        order = np.argsort(distances, axis=1, kind="stable")
        return np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1)


@dataclass(frozen=True)
class Calibration:
    """The ratio up to which a match is a near copy, learnt from `num_real` images, `num_near` of them near copies."""

    limit: float
    num_near: int
    num_real: int


@dataclass(frozen=True)
class Copies:
    """The copies among N images."""

    matches: Matches
    near: np.ndarray
    """bool (N,), near copies that are not exact."""
    calibration: Calibration


def find_copies(images: np.ndarray, originals: np.ndarray, calibration: Calibration) -> Copies:
    """Find exact and near copies of originals, pixels (M, H, W, C), among images, pixels (N, H, W, C)."""
    matches = match(images, originals)
    return Copies(matches, matches.near(calibration.limit), calibration)


def calibrate(reference: np.ndarray, originals: np.ndarray, *, seed: int) -> Calibration:
    """Learn the limit for near copies of originals from up to REFERENCE other real images, pixels (R, H, W, C).

    How close unrelated images lie depends on the data set, and on the place in it. The measure is therefore the
    distance over that of the K-th neighbour. The limit is the ratio below which a share NEARER of the real images lies;
    where that is fewer than two images, MARGIN of the smallest ratio. Natural copies are left out first: those beyond
    doubt, with a p of `near_copies` below 10^NATURAL. Near copies are counted on two random halves, each with the limit
    of the other.
    """
    if len(reference) > REFERENCE:
        chosen = generator(seed, "reference").permutation(len(reference))[:REFERENCE]
        reference = take(reference, np.sort(chosen))
    matches = match(reference, originals)
    close = int(np.clip(len(originals) / 100, *CLOSE))
    natural = near_copies(thumbnails(reference), thumbnails(originals), close=close)
    honest = ~matches.exact
    honest[natural.held_out[natural.log10_p <= NATURAL]] = False
    order = generator(seed, "calibrate").permutation(len(reference))
    num_near = 0
    for learnt, counted in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        limit = _limit(matches.ratio[learnt[honest[learnt]]])
        num_near += int(matches.near(limit)[counted].sum())
    return Calibration(_limit(matches.ratio[honest]), num_near, len(reference))


def recall(originals: np.ndarray, calibration: Calibration, *, seed: int) -> dict[str, float]:
    """The share of planted copies of originals, pixels (M, H, W, C), that the search finds, by kind; NaN without any.

    Up to PLANTED originals are copied in each way: mirrored, moved by a pixel, with noise of NOISE grey levels, and
    blended, BLEND of the original and the rest of another one. A copy is found where its very original is named.
    """
    rng = generator(seed, "recall")
    rows = rng.permutation(len(originals))[:PLANTED]
    chosen, others = originals[rows].astype(np.float64), originals[np.roll(rows, 1)]
    padded = np.pad(originals[rows], ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = originals.shape[1:3]
    planted = {
        "mirrored": chosen[:, :, ::-1],
        "moved": padded[:, 2 : 2 + height, 1 : 1 + width],
        "noisy": chosen + rng.normal(0, NOISE * per_level(originals.dtype), chosen.shape),
        "blended": BLEND * chosen + (1 - BLEND) * others,
    }
    if not len(rows):
        return dict.fromkeys(planted, np.nan)
    found = {}
    for kind, images in planted.items():
        pixels = np.clip(np.rint(images), 0, white(originals.dtype)).astype(originals.dtype)
        copies = find_copies(pixels, originals, calibration)
        hit = (copies.near | copies.matches.exact) & (copies.matches.row == rows)
        found[kind] = float(hit.mean())
    return found


def closest(matches: Matches, *, count: int = 32) -> np.ndarray:
    """Rows of the `count` images closest to an original, the closest first, int64."""
    matched = np.flatnonzero(matches.row >= 0)
    return matched[np.argsort(matches.distance[matched], kind="stable")][:count]


def match(images: np.ndarray, originals: np.ndarray) -> Matches:
    """Find the original closest to each image: a shortlist by thumbnails, then a comparison of all pixels.

    Raises ValueError unless both are pixels of one type and shape (H, W, C).
    """
    if not is_pixels(images.dtype) or images.dtype != originals.dtype or images.shape[1:] != originals.shape[1:]:
        got = f"{images.dtype} {images.shape} and {originals.dtype} {originals.shape}"
        raise ValueError(f"images: got {got}, expected pixels of one type and shape")
    row, flipped = np.full(len(images), -1), np.zeros(len(images), bool)
    distance, ratio = np.full(len(images), np.nan), np.full(len(images), np.nan)
    if len(originals):
        known = Originals.of(originals)
        for start in range(0, len(images), BLOCK):
            block = reduced(images[start : start + BLOCK])
            part = slice(start, start + len(block))
            rows, distances = known.compared(block, known.shortlist(block))
            row[part], flipped[part] = rows[:, 0] % len(originals), rows[:, 0] >= len(originals)
            distance[part], ratio[part] = distances[:, 0], _ratio(rows % len(originals), distances)
    same, same_flipped = _same(images, originals)
    exact = same >= 0
    row[exact], flipped[exact], distance[exact] = same[exact], same_flipped[exact], 0
    return Matches(row, flipped, distance, ratio, exact)


def _limit(ratios: np.ndarray) -> float:
    """The limit that the ratios of honest real images (N,) set."""
    if len(ratios) < FEW or np.isnan(ratios).any():
        return LIMITS[0]
    rank = max(1, int(NEARER * (len(ratios) + 1)))
    limit = np.partition(ratios, rank - 1)[rank - 1] * (MARGIN if rank == 1 else 1)
    return float(np.clip(limit, *LIMITS))


def reduced(images: np.ndarray) -> np.ndarray:
    """Return pixels (N, H, W, C) with neither side above SIDE_PX: those of an array that has none, or new ones.

    New pixels of more than HELD bytes lie in a temporary file, which needs no memory and goes when they are no longer
    used.
    """
    height, width = images.shape[1:3]
    factor = min(1, SIDE_PX / max(1, height, width))
    if factor == 1 and isinstance(images, np.ndarray):
        return images
    size = max(1, round(height * factor)), max(1, round(width * factor))
    out = _room((len(images), *size, images.shape[3]), images.dtype)
    for row, image in enumerate(images):
        out[row] = image if factor == 1 else scale(np.ascontiguousarray(image), *size)
        if row % BLOCK == 0:
            release(images)
    return out


def _room(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array to be filled, in memory or, above HELD bytes, in a file without a name."""
    if math.prod(shape) * dtype.itemsize <= HELD:
        return np.empty(shape, dtype)
    with TemporaryFile() as file:  # the mapping outlives it
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


def _levels(small: np.ndarray) -> np.ndarray:
    """Thumbnails (N, D) -> float32 in grey levels.

    They keep brightness and contrast, or images of nearly one colour would all look the same.
    """
    return small.astype(np.float32) / np.float32(per_level(small.dtype))


def _aligned(images: np.ndarray, originals: np.ndarray, energies: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The least root mean square over MOVES, float64 (B, S).

    The square of a difference is that of both sides less twice their product, and the products are one matrix product
    for each image. All are whole numbers that float64 holds exactly.
    """
    height, width = images.shape[1:3]
    candidates = originals[rows % len(originals)]  # (B, S, H, W, C)
    flip = rows >= len(originals)
    candidates[flip] = candidates[flip][:, :, ::-1]
    moved = np.zeros((len(images), len(MOVES), *images.shape[1:]))
    areas = np.zeros(len(MOVES))
    for number, move in enumerate(MOVES):
        here, there = _overlap(*move, height, width)
        moved[(slice(None), number, *there)] = images[(slice(None), *here)]
        areas[number] = images[(0, *here)].size
    products = moved.reshape(*moved.shape[:2], -1) @ candidates.reshape(*rows.shape, -1).astype(np.float64).mT
    own = np.square(moved).sum((2, 3, 4))
    squares = own[:, :, None] + energies[rows].mT - 2 * products  # (B, moves, S)
    return np.sqrt((squares / areas[:, None]).min(1)) / per_level(images.dtype)


def _energies(originals: np.ndarray) -> np.ndarray:
    """The sums of squares of originals, pixels (M, H, W, C), where they overlap an image that is moved.

    float64 (2M, moves), of the mirrored originals from M on.
    """
    height, width = originals.shape[1:3]
    found = np.zeros((2 * len(originals), len(MOVES)))
    for start in range(0, len(originals), BLOCK):
        squares = np.square(originals[start : start + BLOCK].astype(np.float64)).sum(3)  # (B, H, W)
        for number, move in enumerate(MOVES):
            there = _overlap(*move, height, width)[1]
            for at, each in ((start, squares), (len(originals) + start, squares[:, :, ::-1])):
                found[at : at + len(squares), number] = each[(slice(None), *there)].sum((1, 2))
        release(originals)
    return found


def _overlap(y: int, x: int, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the parts in which an image moved by (y, x) pixels and another one overlap: its own, and the other's."""

    def along(by: int, side: int) -> tuple[slice, slice]:
        return slice(max(0, by), side + min(0, by)), slice(max(0, -by), side + min(0, -by))

    (top, other_top), (left, other_left) = along(y, height), along(x, width)
    return (top, left), (other_top, other_left)


def _ratio(rows: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The least distance over that of the K-th different original (B,), both (B, S) sorted; 1 where all K are equal.

    An original counts once, plain or mirrored: symmetrical ones would fill two places.
    """
    repeated = np.tril(rows[:, :, None] == rows[:, None, :], -1).any(2)
    once = np.sort(np.where(repeated, np.inf, distances), axis=1)
    if once.shape[1] < K:
        return np.full(len(rows), np.nan)
    kth = once[:, K - 1]
    return np.where(np.isinf(kth), np.nan, np.where(kth > 0, once[:, 0] / np.where(kth > 0, kth, 1), 1))


def _same(images: np.ndarray, originals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first original with exactly the pixels of each image, int64 (N,), -1 for none, and whether it is mirrored."""
    ours = _digests(images)
    plain, flipped = (_first(ours, _digests(originals, step=step)) for step in (1, -1))
    return np.where(plain >= 0, plain, flipped), (plain < 0) & (flipped >= 0)


def _digests(images: np.ndarray, *, step: int = 1) -> np.ndarray:
    """The hashes of the pixels of images, 16 bytes (N,); step: -1 for those of the mirrored ones."""
    digests = np.empty(len(images), "S16")
    for row, image in enumerate(images):
        digests[row] = hashlib.blake2b(image[:, ::step].tobytes(), digest_size=16).digest()
        if row % BLOCK == 0:
            release(images)
    return digests


def _first(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The first place of each value (N,) in another array (M,), int64 (N,); -1 where it is not there."""
    if not len(among):
        return np.full(len(values), -1)
    known, first = np.unique(among, return_index=True)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[place] == values, first[place], -1)
