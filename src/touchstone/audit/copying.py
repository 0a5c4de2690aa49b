"""Copying, measured in features: do generated images lie nearer to the training images than unseen real ones do?"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from touchstone.audit.quality import LabelledFeatures, matched
from touchstone.seeds import derive, generator

MEMORISED = 1 / 3  # of the distance to the second nearest training image


@dataclass(frozen=True)
class Copying:
    """Distances of generated images from the training images; NaN where there are too few images to say."""

    ratio: float
    """Median over generated images of d(nearest training image) / d(nearest held-out image); 0 for copies."""
    ratio_floor: float
    """The same for real held-out images that are in neither set, about 1."""
    c_t: float
    """0 for images distributed like real ones, below 0 for copies or more uniform images, above 0 for unlike ones."""
    c_t_floor: float
    """C_T of one half of the held-out images against the other."""
    c_t_excess: float
    """C_T against one half of the held-out images, minus C_T with the other half, which cannot have been copied, in
    place of the training images (at most as many): near 0 unless generated images are drawn to the training images."""
    z: float
    """C_T without cells."""
    num_cells: int
    """The cells that C_T averages over."""
    authentic: float
    """AuthPct: the share of generated images that are farther from their nearest training image than that one is from
    its own nearest training image (Alaa et al. 2022, arXiv 2102.08921)."""
    authentic_floor: float
    """The same for the held-out images."""
    memorised: float
    """The share of generated images whose nearest training image is less than a third as far as the second nearest
    (arXiv 2310.02664)."""
    memorised_floor: float
    """The same for the held-out images."""


def copying(generated: LabelledFeatures, train: LabelledFeatures, held_out: LabelledFeatures, *, seed: int) -> Copying:
    """Compute every measure of this file."""
    rng = generator(seed, "copying")
    order = rng.permutation(len(held_out.labels))
    order = order[np.argsort(held_out.labels[order], kind="stable")]
    half, other = np.sort(order[::2]), np.sort(order[1::2])  # each class split evenly
    train_rows, unseen_rows = matched(train.labels, held_out.labels[other], rng=rng)
    seen, unseen = train.values[train_rows], held_out.values[other][unseen_rows]
    values = held_out.values
    test = partial(data_copying, seed=derive(seed, "cells") % 2**32)
    c_t, num_cells = test(generated.values, train.values, values)
    floor, _ = test(values[half], train.values, values[other])
    (by_train, _), (by_unseen, _) = (test(generated.values, part, values[half]) for part in (train.values, unseen))
    return Copying(
        ratio=distance_ratio(generated.values, seen, unseen),
        ratio_floor=distance_ratio(values[half], seen, unseen),
        c_t=c_t,
        c_t_floor=floor,
        c_t_excess=by_train - by_unseen,
        z=_z(_nearest(generated.values, train.values), _nearest(values, train.values)),
        num_cells=num_cells,
        authentic=authenticity(generated.values, train.values),
        authentic_floor=authenticity(values, train.values),
        memorised=memorisation(generated.values, train.values),
        memorised_floor=memorisation(values, train.values),
    )


def distance_ratio(images: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> float:
    """The median over `images` (N, D) of d(nearest of train) / d(nearest of held_out), both of the same size.

    An image that lies on both has no ratio; it is left out.
    """
    to_train, to_held_out = _nearest(images, train), _nearest(images, held_out)
    defined = (to_train > 0) | (to_held_out > 0)
    with np.errstate(divide="ignore"):
        return float(np.median(to_train[defined] / to_held_out[defined])) if defined.any() else np.nan


def authenticity(images: np.ndarray, train: np.ndarray) -> float:
    """AuthPct of features (N, D): the share with d(image, its nearest x of train) > d(x, the nearest other of train).

    NaN without images or with fewer than 2 training images.
    """
    if not len(images) or len(train) < 2:
        return np.nan
    train = train.astype(np.float64)
    neighbours = NearestNeighbors(n_neighbors=1).fit(train)
    _, row = neighbours.kneighbors()  # without X: others only
    own = np.linalg.norm(train - train[row[:, 0]], axis=1)
    nearest = neighbours.kneighbors(images.astype(np.float64), return_distance=False)[:, 0]
    return float((np.linalg.norm(images - train[nearest], axis=1) > own[nearest]).mean())


def memorisation(images: np.ndarray, train: np.ndarray) -> float:
    """The share of features (N, D) whose nearest of train is less than MEMORISED times as far as the second nearest.

    NaN without images or with fewer than 2 training images.
    """
    if not len(images) or len(train) < 2:
        return np.nan
    train = train.astype(np.float64)
    rows = NearestNeighbors(n_neighbors=2).fit(train).kneighbors(images.astype(np.float64), return_distance=False)
    first, second = (np.linalg.norm(images - train[row], axis=1) for row in rows.T)
    return float((first < MEMORISED * second).mean())


def data_copying(
    generated: np.ndarray, train: np.ndarray, held_out: np.ndarray, *, seed: int, num_cells: int = 10, least: int = 20
) -> tuple[float, int]:
    """C_T of the three-sample test of Meehan, Chaudhuri & Dasgupta 2020, arXiv 2004.05675, and the number of its cells.

    Features (N, D). k-means on the training features divides space into cells. In a cell, Z_U says whether generated
    images are nearer to its training images (below 0) or farther (above 0) than held-out ones. C_T is the mean of Z_U,
    weighted by the held-out images in the cell, over cells with at least `least` generated and one held-out image.
    There are at most `num_cells` cells, with at least 2 * `least` images of each set per cell on average.
    """
    cells = min(num_cells, *(len(part) // (2 * least) for part in (generated, train, held_out)))
    if cells < 1:
        return np.nan, 0
    means = KMeans(cells, n_init=3, random_state=seed).fit(train.astype(np.float64))
    sets = [(part, means.predict(part.astype(np.float64))) for part in (generated, train, held_out)]
    scores, weights = [], []
    for cell in range(cells):
        made, training, real = (part[cells_of == cell] for part, cells_of in sets)
        if len(made) >= least and len(real) and len(training):
            scores.append(_z(_nearest(made, training), _nearest(real, training)))
            weights.append(len(real))
    return (float(np.average(scores, weights=weights)), len(scores)) if scores else (np.nan, 0)


def _z(generated: np.ndarray, held_out: np.ndarray) -> float:
    """Z_U of distances (m,) and (n,): U = #(generated > held-out), ties half, minus mn / 2, over its null deviation.

    As in the paper, the deviation is the one without ties, sqrt(mn (m + n + 1) / 12).
    """
    m, n = len(generated), len(held_out)
    if not m or not n or np.isnan(generated).any():
        return np.nan
    u = mannwhitneyu(generated, held_out, method="asymptotic").statistic
    return float((u - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))


def _nearest(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """The distance of each image (N, D) to the nearest reference (M, D): (N,), NaN without references."""
    if not len(images) or not len(references):
        return np.full(len(images), np.nan)
    images, references = images.astype(np.float64), references.astype(np.float64)
    row = NearestNeighbors(n_neighbors=1).fit(references).kneighbors(images, return_distance=False)[:, 0]
    # By differences: squared norms minus a product would leave some 1e-4 between equal features.
    return np.linalg.norm(images - references[row], axis=1)
