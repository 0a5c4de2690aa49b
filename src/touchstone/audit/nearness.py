"""Nearness: do generated images lie nearer to the training images than to unseen real ones, by more than chance?

An image leans towards the training images by (d_unseen - d_training) / (d_unseen + d_training), from the distances to
the nearest image of each kind: 1 for a copy of a training image, 0 where both are as near, -1 for a copy of an unseen
one. The statistic is the mean over the set.

Its null distribution comes from honest splits: the training and the unseen images are put together and dealt again at
random, class by class, into as many of each kind. A generator that has not seen the training images cannot tell a deal
from another, so its statistic is one draw of that distribution, whatever it generates and however many images. All
images of a set are compared with the same training images and therefore vary together; the deals repeat that, which a
binomial distribution of independent images would not. Where images come in groups, such as patients, of which splits
put each on one side, whole groups are dealt. It is a permutation test (Fisher 1935) with the z of its draws.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from touchstone.audit.quality import LabelledFeatures, matched
from touchstone.seeds import generator

MISSED = 1e-6  # the chance that none of the neighbours that are kept is of the rarer kind
BLOCK = 2**24  # numbers at a time


@dataclass(frozen=True)
class Nearness:
    """Places of generated images between training and unseen images; NaN where there are too few images to say."""

    nearer: float
    """Share nearer to a training image than to any of as many unseen ones, class by class; near .5 for honest ones."""
    lean: float
    """The mean lean of the images, minus that over the honest splits; above 0 for images drawn to training images."""
    lean_sd: float
    """The standard deviation of the mean lean over the honest splits."""
    z: float
    """The lean in standard deviations, with the error of their mean."""
    p: float
    """One-sided, by the t distribution with a degree of freedom less than there are splits."""


@dataclass(frozen=True)
class _Neighbours:
    """The nearest real images of each of N images, the nearest first."""

    row: np.ndarray
    """int64 (N, K), rows of the training images followed by the unseen ones."""
    distance: np.ndarray
    """float64 (N, K)."""

    def nearest(self, chosen: np.ndarray) -> np.ndarray:
        """The distance (N,) to the nearest of the real images `chosen`, bool (M,); that of the last where none is."""
        here = chosen[self.row]
        column = np.where(here.any(1), here.argmax(1), here.shape[1] - 1)
        return self.distance[np.arange(len(column)), column]


def nearness(
    generated: LabelledFeatures, train: LabelledFeatures, unseen: LabelledFeatures, *, seed: int, num_splits: int
) -> Nearness:
    """Compare the nearness of generated images with that over `num_splits` honest splits."""
    labels, groups = np.concatenate([train.labels, unseen.labels]), _groups(train, unseen)
    is_train = np.arange(len(labels)) < len(train.labels)
    if not len(generated.labels) or is_train.all() or not is_train.any():
        return Nearness(*[math.nan] * 5)
    rarer = min(is_train.mean(), 1 - is_train.mean())
    count = math.ceil(math.log(MISSED) / math.log1p(-rarer))
    count = min(len(labels), count if groups is None else count * int(np.bincount(groups).max()))
    found = _neighbours(generated.values, np.concatenate([train.values, unseen.values]), count)
    nearer, null = [], []
    for split in range(num_splits):
        rng = generator(seed, "nearness", split)
        null.append(_lean(found, _dealt(labels, is_train, groups, rng)))
        nearer.append(_share(found, train.labels, unseen.labels, rng))
    sd = float(np.std(null, ddof=1))
    lean = _lean(found, is_train) - float(np.mean(null))
    z = lean / (sd * math.sqrt(1 + 1 / num_splits)) if sd else math.nan
    return Nearness(float(np.mean(nearer)), lean, sd, z, float(stats.t.sf(z, num_splits - 1)))


def _lean(found: _Neighbours, is_train: np.ndarray) -> float:
    """The mean lean towards the real images `is_train`, bool (M,), and away from the others."""
    to_train, to_unseen = found.nearest(is_train), found.nearest(~is_train)
    total = to_train + to_unseen
    return float(((to_unseen - to_train) / np.where(total > 0, total, 1)).mean())


def _groups(train: LabelledFeatures, unseen: LabelledFeatures) -> np.ndarray | None:
    """The groups of the training and the unseen images together, int64 (M,): none has images of both."""
    if train.groups is None or unseen.groups is None:
        return None
    return np.concatenate([train.groups, unseen.groups + train.groups.max() + 1])


def _dealt(labels: np.ndarray, is_train: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Deal again which real images are training images, bool (M,), as many of each class as there are.

    Of groups, as many as there are whose first image is of that class: their images may differ in number and class.
    """
    if groups is not None:
        _, first, group = np.unique(groups, return_index=True, return_inverse=True)
        return _dealt(labels[first], is_train[first], None, rng)[group]
    dealt = is_train.copy()
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        dealt[rows] = rng.permutation(is_train[rows])
    return dealt


def _share(found: _Neighbours, train_labels: np.ndarray, unseen_labels: np.ndarray, rng: np.random.Generator) -> float:
    """The share of images that are nearer to one of some training images than to as many unseen ones; ties half."""
    chosen = np.zeros((2, len(train_labels) + len(unseen_labels)), bool)
    train_rows, unseen_rows = matched(train_labels, unseen_labels, rng=rng)
    chosen[0, train_rows] = chosen[1, len(train_labels) + unseen_rows] = True
    to_train, to_unseen = (found.nearest(part) for part in chosen)
    return float(((to_train < to_unseen) + (to_train == to_unseen) / 2).mean())


def _neighbours(images: np.ndarray, real: np.ndarray, count: int) -> _Neighbours:
    """The `count` nearest of the real images (M, D) of each image (N, D)."""
    images, real = images.astype(np.float64), real.astype(np.float64)
    rows = NearestNeighbors(n_neighbors=count).fit(real).kneighbors(images, return_distance=False)
    distances = np.empty(rows.shape)
    step = max(1, BLOCK // (count * images.shape[1]))
    for start in range(0, len(images), step):  # by differences, as in copying.py
        part = slice(start, start + step)
        distances[part] = np.linalg.norm(images[part, None] - real[rows[part]], axis=2)
    order = np.argsort(distances, axis=1, kind="stable")
    return _Neighbours(np.take_along_axis(rows, order, 1), np.take_along_axis(distances, order, 1))
