"""Finds the nearest thumbnails of those that have one close by: exactly, in blocks, without a table of all pairs.

Thumbnails are bytes, so the products that make up a cosine are whole numbers below 2^24. Float32 adds those without
rounding, in any order: no result depends on blocks, threads or the processor.

An upper bound of the cosine, from the few directions in which thumbnails differ most, rules out nearly all pairs at a
tenth of the cost. Only for those that have a close neighbour are all cosines computed.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from touchstone.data.levels import white
from touchstone.data.thumbnails import mirrored, standardised
from touchstone.seeds import generator

QUERIES, IMAGES = 256, 1024  # compared at a time: their bounds lie in the processor's cache
GATHERED = 4096  # queries whose neighbours are gathered at a time
SAMPLE = 2048  # thumbnails from which directions are computed
WIDTHS = (7, 15, 23, 31, 47, 63, 95, 127)  # numbers of directions to choose from
RARE = 1 / 1000  # share of pairs that a bound should leave over
DENSE = 1 / 32  # of the pairs of a block; where more are left over, all its cosines are computed at once
SLACK = 1e-3  # of bounds, far more than float32 can be wrong by
ROUNDING = 1e-5  # of squared lengths, likewise


@dataclass(frozen=True)
class Gallery:
    """M thumbnails, each plain and mirrored: 2M rows, the mirrored ones last."""

    small: np.ndarray
    """uint8 or uint16 (M, D)."""

    def __len__(self) -> int:
        return 2 * len(self.small)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the given rows (B, D)."""
        taken = self.small[rows % len(self.small)]
        flipped = rows >= len(self.small)
        taken[flipped] = mirrored(taken[flipped])
        return taken

    def blocks(self, *, plain: bool = False) -> Iterator[np.ndarray]:
        """Yield the numbers of all rows, or only of the plain ones, in blocks, in a random order.

        In that order the nearest ones seen so far soon leave little to replace, however the images are sorted.
        """
        order = generator(0, "neighbours").permutation(len(self.small) if plain else len(self))
        yield from np.split(order, range(IMAGES, len(order), IMAGES))


def gather(query: np.ndarray, images: np.ndarray, *, within: float, count: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Find the nearest images, plain or mirrored, of each thumbnail that has one at a distance up to `within`.

    query: uint8 or uint16 (N, D). images: the same (M, D), 2M >= count. None may be of a single colour. The distance is
    Euclidean, between standardised thumbnails. Yields blocks of rows of the query, int64 (B,), with their `count`
    nearest images, int64 (B, count), from M on mirrored, and the distances, float64 (B, count), ascending. Of images at
    the same distance as the last one, any may be returned; others are sorted by number.
    """
    gallery = Gallery(images)
    # Each of our threads multiplies small blocks; threads of BLAS would mostly wait for one another.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        close = _with_neighbour(query, gallery, 1 - within**2 / 2 - 1e-12, pool)
        for start in range(0, len(close), GATHERED):
            rows = close[start : start + GATHERED]
            nearest, cosine = _nearest(query[rows], gallery, count, pool)
            distance = np.sqrt(np.maximum(2 - 2 * cosine, 1e-12))
            near = distance[:, 0] <= within  # the limit of the cosine is a little lower than that of the distance
            yield rows[near], nearest[near], distance[near]


# --- which thumbnails have a neighbour ---


def _with_neighbour(query: np.ndarray, gallery: Gallery, cosine: float, pool: ThreadPoolExecutor) -> np.ndarray:
    """Return the rows of the query that have a neighbour with at least this cosine, int64, ascending."""
    to_bound = _bounds(query, gallery, cosine - SLACK)
    waiting, found = np.arange(len(query)), np.zeros(len(query), bool)
    even, odd = (
        np.concatenate(part)
        for part in zip(*(to_bound(query[i : i + IMAGES]) for i in range(0, len(query), IMAGES)), strict=True)
    )
    for rows in gallery.blocks(plain=True):
        images = gallery.take(rows)
        blocks = [slice(start, start + QUERIES) for start in range(0, len(waiting), QUERIES)]
        reaches = partial(_any_reaches, query, images=images, others=to_bound(images), cosine=cosine)
        reached = pool.map(reaches, *([whole[block] for block in blocks] for whole in (waiting, even, odd)))
        keep = ~np.concatenate([np.zeros(0, bool), *reached])
        found[waiting[~keep]] = True
        waiting, even, odd = waiting[keep], even[keep], odd[keep]
    return np.flatnonzero(found)


def _any_reaches(
    query: np.ndarray,
    rows: np.ndarray,
    even: np.ndarray,
    odd: np.ndarray,
    *,
    images: np.ndarray,
    others: tuple[np.ndarray, np.ndarray],
    cosine: float,
) -> np.ndarray:
    """Return which of some rows of the query have the cosine with an image, plain or mirrored, bool (B,).

    even, odd: their coordinates, see `_Bounds`; others: those of the images (T, D).
    """
    bound = odd @ others[1].T  # (B, T)
    np.abs(bound, out=bound)
    bound += even @ others[0].T
    left_over = bound >= cosine - SLACK
    reached = np.zeros(len(rows), bool)
    if np.count_nonzero(left_over) > DENSE * left_over.size:
        for side in (images, mirrored(images)):
            reached |= np.any(_cosines(query[rows], side) >= cosine, axis=1)
        return reached
    row, column = np.nonzero(left_over)
    for start in range(0, len(row), IMAGES):
        one, other = row[start : start + IMAGES], images[column[start : start + IMAGES]]
        for side in (other, mirrored(other)):
            reached[one[_paired_cosines(query[rows[one]], side) >= cosine]] = True
    return reached


class _Bounds:
    """Coordinates of thumbnails that give upper bounds of their cosines.

    A cosine is the sum of the products along some directions, orthogonal to one another, and of what lies across them,
    which is at most the product of the two lengths there (Cauchy-Schwarz). Directions are even, the same when mirrored,
    or odd, the opposite: a mirrored image has the same even coordinates, and the odd ones with the other sign. So the
    sum of the even products and of the odd ones' absolute value bounds the cosines with both.
    """

    def __init__(self, even: np.ndarray, odd: np.ndarray) -> None:
        """even, odd: directions, float32 (D, w) each."""
        self.even, self.odd = even, odd

    def __call__(self, small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the even coordinates of thumbnails and the length across, float32 (B, w + 1), and the odd ones."""
        unit = standardised(small)
        even, odd = unit @ self.even, unit @ self.odd
        squares = np.einsum("bw,bw->b", even, even) + np.einsum("bw,bw->b", odd, odd)
        across = np.sqrt(np.maximum(1 - squares, 0) + ROUNDING)
        return np.concatenate([even, across[:, None]], axis=1), odd


def _bounds(query: np.ndarray, gallery: Gallery, cosine: float) -> _Bounds:
    """Choose directions: the first principal ones of the images, as few as leave RARE pairs to this cosine."""
    sample = gallery.take(_evenly(len(gallery.small), SAMPLE))
    even, odd = (_principal(sample, sign) for sign in (1, -1))
    order = np.argsort(-np.concatenate([even[0], odd[0]]), kind="stable")  # even and odd ones by their variance
    asking = query[_evenly(len(query), QUERIES)]
    for width in WIDTHS:
        of_even = int((order[:width] < len(even[0])).sum())
        bounds = _Bounds(even[1][:, :of_even], odd[1][:, : width - of_even])
        (ask_even, ask_odd), (sample_even, sample_odd) = bounds(asking), bounds(sample)
        left_over = ask_even @ sample_even.T + np.abs(ask_odd @ sample_odd.T) >= cosine
        if width >= len(order) / 2 or left_over.mean() < RARE:
            break
    return bounds


def _principal(small: np.ndarray, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances (D / 2,) and directions, float32 (D, D / 2), of thumbnails, sign 1: even, -1: odd ones."""
    values = np.eye(small.shape[1])
    left = np.flatnonzero(np.arange(small.shape[1]) < mirrored(values).argmax(1))  # mirrored, they lie at the right
    basis = ((values + sign * mirrored(values))[left] / np.sqrt(2)).T  # (D, D / 2), orthonormal
    coordinates = standardised(small) @ basis
    variance, directions = np.linalg.eigh(coordinates.T @ coordinates)
    return variance[::-1], np.ascontiguousarray((basis @ directions)[:, ::-1], np.float32)


def _evenly(total: int, number: int) -> np.ndarray:
    return np.unique(np.linspace(0, total - 1, min(total, number)).astype(np.int64))


# --- the nearest neighbours ---


def _nearest(
    query: np.ndarray, gallery: Gallery, count: int, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest rows of the gallery, int64 (N, count), and their cosines, float64 (N, count), descending."""
    nearest, cosine = np.zeros((len(query), count), np.int64), np.full((len(query), count), -np.inf)
    blocks = [slice(start, start + QUERIES) for start in range(0, len(query), QUERIES)]
    for rows in gallery.blocks():
        images = gallery.take(rows)
        nearer = partial(_nearer, rows=rows, images=images)
        found = pool.map(nearer, *([whole[block] for block in blocks] for whole in (query, nearest, cosine)))
        for block, (numbers, values) in zip(blocks, found, strict=True):
            nearest[block], cosine[block] = numbers, values
    order = np.lexsort((nearest, -cosine), axis=1)
    return np.take_along_axis(nearest, order, 1), np.take_along_axis(cosine, order, 1)


def _nearer(
    query: np.ndarray, nearest: np.ndarray, best: np.ndarray, *, rows: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest of those so far, with the `best` cosines (B, count), and of more images with these rows."""
    return largest(nearest, best, rows, _cosines(query, images))


def largest(kept: np.ndarray, best: np.ndarray, rows: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the largest values so far and these values (B, count), when more values are seen.

    kept, best: those before, (B, count). rows: the row of each column of the new `values` (B, T). Of equal values, any
    may be kept.
    """
    row, column = np.nonzero(values > best.min(1, keepdims=True))
    if not len(row):
        return kept, best
    place = np.arange(len(row)) - np.searchsorted(row, row)  # of a new one among those of its row
    more = np.full((len(best), place.max() + 1), -np.inf, best.dtype)
    numbers = np.zeros(more.shape, np.int64)
    more[row, place], numbers[row, place] = values[row, column], rows[column]
    more, numbers = np.concatenate([best, more], axis=1), np.concatenate([kept, numbers], axis=1)
    keep = np.argpartition(-more, best.shape[1] - 1, axis=1)[:, : best.shape[1]]
    return np.take_along_axis(numbers, keep, 1), np.take_along_axis(more, keep, 1)


# --- cosines of standardised thumbnails, from whole numbers ---


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of two sets of thumbnails (B, D) and (T, D), as float64 (B, T)."""
    total, norm = moments(one)
    other_total, other_norm = moments(other)
    kind = _exact(one)
    products = one.astype(kind) @ other.astype(kind).T
    cosine = products.astype(np.float64)
    cosine *= one.shape[1]
    cosine -= np.outer(total, other_total)
    cosine /= norm[:, None]
    cosine /= other_norm
    return cosine


def _paired_cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the cosine of each thumbnail with the one in the same row of the other set, float64 (P,)."""
    (total, norm), (other_total, other_norm) = moments(one), moments(other)
    kind = _exact(one)
    products = np.einsum("pd,pd->p", one.astype(kind), other.astype(kind)).astype(np.float64)
    return (products * one.shape[1] - total * other_total) / norm / other_norm


def _exact(small: np.ndarray) -> type[np.floating]:
    """Return the type in which products of thumbnails (N, D) are whole numbers: with float32, sums below 2^24."""
    return np.float32 if small.shape[1] * white(small.dtype) ** 2 < 2**24 else np.float64


def moments(small: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of each thumbnail, and D times the root of the sum of squares about its mean, float64 (N,)."""
    values = small.astype(_exact(small))
    total, squares = values.sum(1).astype(np.float64), np.einsum("nd,nd->n", values, values).astype(np.float64)
    return total, np.sqrt(small.shape[1] * squares - total**2)
