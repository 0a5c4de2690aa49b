"""Which image lands in which split, and which training images are copies of held-out ones.

A split is a pure function of the image's id, so that adding images never moves old ones between splits; classes
are balanced in expectation.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from touchstone.resize import scale

SIDE = 8  # px, of the thumbnails that near copies are sought in
PROBES = 512  # images that calibrate the threshold
BLOCK = 512  # rows of distances at a time


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

    row: int (N,), -1 where there is no training image. mirrored: bool (N,), whether the training image had to be
    flipped. distance: float32 (N,), root mean square difference of the thumbnails in grey levels (0..255).
    threshold: distances up to it count as near copies.
    """

    row: np.ndarray
    mirrored: np.ndarray
    distance: np.ndarray
    threshold: float

    @property
    def found(self) -> np.ndarray:
        """bool (N,)"""
        return (self.row >= 0) & (self.distance <= self.threshold)


def near_copies(held_out: np.ndarray, train: np.ndarray, *, threshold: float) -> NearCopies:
    """The nearest training image of each held-out one, plain or mirrored. Both uint8 (N, H, W, C)."""
    query = thumbnails(held_out)
    row, distance = nearest_rows(query, thumbnails(train))
    mirror_row, mirror_distance = nearest_rows(query, thumbnails(train[:, :, ::-1]))
    mirrored = mirror_distance < distance
    return NearCopies(
        row=np.where(mirrored, mirror_row, row),
        mirrored=mirrored,
        distance=np.minimum(distance, mirror_distance),
        threshold=threshold,
    )


def calibrate(train: np.ndarray, labels: np.ndarray) -> float:
    """The distance up to which two images of this data set are near copies; 0 where it cannot be told.

    Copies are simulated: up to 512 training images (uint8 (N, H, W, C)) as JPEG at quality 75, the 99th percentile
    of their distances. It is lowered to the least distance between images of different classes (`labels`, (N,)),
    which cannot be copies of one picture: small or plain images lie close together by nature.
    """
    if len(train) < 2:
        return 0.0
    probes = np.linspace(0, len(train) - 1, min(PROBES, len(train))).astype(int)
    small = thumbnails(train)
    copies = thumbnails(np.stack([_reencoded(train[i]) for i in probes]))
    copied = float(np.percentile(_rms(copies - small[probes]), 99))
    other = min(_nearest_other_class(small[i], labels[i], small, labels) for i in probes)
    return min(copied, 0.99 * other)


def _nearest_other_class(query: np.ndarray, label: int, small: np.ndarray, labels: np.ndarray) -> float:
    others = small[labels != label]
    return float(_rms(others - query).min()) if len(others) else float("inf")


def thumbnails(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) -> float32 (N, 8 * 8 * C), area averages in grey levels."""
    if not len(images):
        return np.zeros((0, SIDE * SIDE * images.shape[-1]), np.float32)
    return np.stack([scale(np.ascontiguousarray(image), SIDE, SIDE).ravel() for image in images]).astype(np.float32)


def nearest_rows(query: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `query` (N, D) the nearest row of `known` (M, D): its number (N,) and the RMS distance (N,)."""
    if not len(known):
        return np.full(len(query), -1), np.full(len(query), np.inf, np.float32)
    squares = (known**2).sum(1)
    row = np.zeros(len(query), np.int64)
    for start in range(0, len(query), BLOCK):
        block = query[start : start + BLOCK]
        row[start : start + BLOCK] = (squares - 2 * block @ known.T).argmin(1)  # |q|^2 is the same for all
    return row, _rms(query - known[row]).astype(np.float32)


def _rms(difference: np.ndarray) -> np.ndarray:
    return np.sqrt((difference**2).mean(1))


def _reencoded(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer)).reshape(pixels.shape)
