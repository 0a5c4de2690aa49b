"""Which image lands in which split, and which training images are copies of held-out ones.

A split is a pure function of the image's id, so that adding images never moves old ones between splits; classes
are balanced in expectation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from touchstone.resize import scale

SIDE = 8  # px, of the thumbnails that near copies are sought in
CLOSE, FAR = 5, 20  # neighbours: k and K of near_copies
ALPHA = 0.01  # false near copies to be expected in a whole split
BLOCK = 256  # rows of distances at a time


def uniform(image_id: str, purpose: str, seed: int) -> float:
    """A number in [0, 1) that depends on nothing but these three."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(
    image_id: str, official: str, *, has_test: bool, test_fraction: float, val_fraction: float, fold: str, seed: int
) -> str:
    """The split of one image: "train", "val", "test" or "unlabelled".

    `official` is the source's own split or "". Official splits are kept; where the source has no test split
    (`has_test` false) test images are drawn by id; validation images are drawn from what is left, by `val_fraction`
    or as fold k of n.
    """
    if official in ("val", "test", "unlabelled"):
        return official
    if not has_test and uniform(image_id, "test", seed) < test_fraction:
        return "test"
    if fold:
        k, n = (int(part) for part in fold.split(" of "))
        return "val" if int(uniform(image_id, "fold", seed) * n) == k - 1 else "train"
    return "val" if uniform(image_id, "val", seed) < val_fraction else "train"


def cap(ids: Sequence[str], labels: Sequence[str], size: int) -> list[int]:
    """Row numbers of at most `size` images: the lowest ids of each class, in turn over the classes; 0 keeps all."""
    rank: dict[str, int] = {}
    order = []
    for row in sorted(range(len(ids)), key=lambda row: ids[row]):
        rank[labels[row]] = rank.get(labels[row], -1) + 1
        order.append((rank[labels[row]], labels[row], row))
    return sorted(row for _, _, row in sorted(order)[: size or None])


@dataclass(frozen=True)
class NearCopies:
    """For each of N held-out images its nearest of M training images.

    row: int64 (N,), -1 where there are too few training images to tell. mirrored: bool (N,), whether the training
    image had to be flipped. distance: float64 (N,), between contrast-normalised thumbnails, 0 to 2. log10_p: float64
    (N,), how unlikely a neighbour this near is where the image lies.
    """

    row: np.ndarray
    mirrored: np.ndarray
    distance: np.ndarray
    log10_p: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """bool (N,): near copies, with ALPHA false ones to be expected among all N."""
        return self.log10_p <= np.log10(ALPHA / max(1, len(self.row)))


def near_copies(held_out: np.ndarray, train: np.ndarray) -> NearCopies:
    """The nearest training image of each held-out one, plain or mirrored, and whether it is too near for chance.

    Both uint8 (N, H, W, C). What is near depends on the data set, and on the place in it: small digits lie close
    together by nature. Were images spread evenly around the held-out one, in D dimensions, the ratio of the distances
    to the nearest and to the k-th neighbour would be below r with probability 1 - (1 - r^D)^(k - 1). D is estimated
    for each image from its neighbours k to K (Levina & Bickel 2004, "Maximum likelihood estimation of intrinsic
    dimension"), which a copy or three do not disturb. On CIFAR-10 this finds 3.4 % of the test images; by eye 3.3 %
    were found (ciFAIR; Barz & Denzler 2020, "Do we train on test data?").
    """
    count, known = len(held_out), np.concatenate([thumbnails(train), thumbnails(train[:, :, ::-1])])
    if len(known) < FAR:
        return NearCopies(np.full(count, -1), np.zeros(count, bool), np.full(count, np.inf), np.zeros(count))
    row, distance = _nearest(thumbnails(held_out), known)  # (N,), (N, FAR)
    spread = np.log(distance[:, -1:] / distance[:, CLOSE - 1 : -1]).mean(1)
    dimension = 1 / np.maximum(spread, 1e-9)
    ratio = distance[:, 0] / distance[:, CLOSE - 1]
    log10_p = np.log10(np.maximum(1 - (1 - ratio**dimension) ** (CLOSE - 1), 1e-300))
    return NearCopies(row % len(train), row >= len(train), distance[:, 0], log10_p)


def thumbnails(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) -> float32 (N, 8 * 8 * C): area averages, mean 0 and norm 1 each, so that brightness and
    contrast do not count; all 0 for an image of one colour."""
    if not len(images):
        return np.zeros((0, SIDE * SIDE * images.shape[-1]), np.float32)
    flat = np.stack([scale(np.ascontiguousarray(image), SIDE, SIDE).ravel() for image in images]).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _nearest(query: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `query` its nearest row of `known` (N,) and the distances to the FAR nearest (N, FAR)."""
    row = np.zeros(len(query), np.int64)
    distance = np.zeros((len(query), FAR))
    for start in range(0, len(query), BLOCK):
        likeness = query[start : start + BLOCK] @ known.T  # cosines, (B, M)
        row[start : start + BLOCK] = likeness.argmax(1)
        nearest = -np.sort(-np.partition(likeness, -FAR, axis=1)[:, -FAR:], axis=1)
        distance[start : start + BLOCK] = np.sqrt(np.maximum(2 - 2 * nearest.astype(np.float64), 1e-12))
    return row, np.maximum(distance, 1e-6)  # no distance of 0 among the logarithms
