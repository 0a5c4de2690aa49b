"""Whether generated images lie nearer to the training images than unseen real images do, by distances in features."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from touchstone.audit.quality import Features, matched
from touchstone.seeds import derive, generator


@dataclass(frozen=True)
class Copying:
    """NaN where there are too few images to say.

    ratio: the median over generated images of d(nearest training image) / d(nearest held-out image); 0 for copies.
    ratio_floor: the same of real held-out images that are in neither set, about 1. c_t: 0 for images distributed as
    real ones, below for copies and for images more alike than those, above for unlike ones. c_t_floor: of one half of
    the held-out images against the other. c_t_excess: C_T by one half of the held-out images, less C_T with the other
    half, which cannot have been copied, in the place of the training images (at most as many): near 0 unless it is
    the training images themselves that draw the generated ones. z: as c_t without cells. num_cells: those that counted.
    """

    ratio: float
    ratio_floor: float
    c_t: float
    c_t_floor: float
    c_t_excess: float
    z: float
    num_cells: int


def copying(
    generated: Features, train: Features, held_out: Features, *, seed: int, num_cells: int = 10, least: int = 20
) -> Copying:
    """All measures of this file; `num_cells` and `least` are those of `data_copying`."""
    rng = generator(seed, "copying")
    half, other = _halves(held_out.labels, rng)
    near, far = matched(train.labels, held_out.labels[other], rng=rng)
    known, unseen = train.values[near], held_out.values[other][far]
    values = held_out.values
    test = partial(data_copying, seed=derive(seed, "cells") % 2**32, num_cells=num_cells, least=least)
    c_t, used = test(generated.values, train.values, values)
    floor, _ = test(values[half], train.values, values[other])
    (by_train, _), (by_unseen, _) = (test(generated.values, part, values[half]) for part in (train.values, unseen))
    return Copying(
        ratio=distance_ratio(generated.values, known, unseen),
        ratio_floor=distance_ratio(values[half], known, unseen),
        c_t=c_t,
        c_t_floor=floor,
        c_t_excess=by_train - by_unseen,
        z=_z(_nearest(generated.values, train.values), _nearest(values, train.values)),
        num_cells=used,
    )


def distance_ratio(images: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> float:
    """The median over `images` (N, D) of d(nearest of train) / d(nearest of held_out); both are to be as many.

    Of an image that lies on both there is nothing to say; it is left out.
    """
    near, far = _nearest(images, train), _nearest(images, held_out)
    told = (near > 0) | (far > 0)
    with np.errstate(divide="ignore"):
        return float(np.median(near[told] / far[told])) if told.any() else np.nan


def data_copying(
    generated: np.ndarray, train: np.ndarray, held_out: np.ndarray, *, seed: int, num_cells: int, least: int
) -> tuple[float, int]:
    """C_T of the three-sample test of Meehan, Chaudhuri & Dasgupta 2020, arXiv 2004.05675, and the cells that counted.

    Features (N, D). k-means on the training features divides space into cells. In a cell, Z_U says whether generated
    images are nearer to its training images (below 0) or farther (above 0) than held-out ones. C_T is the mean of Z_U,
    weighted by the held-out images in the cell, over cells with at least `least` generated and one held-out image.
    There are at most `num_cells` cells and on average at least 2 * `least` images of each set in one.
    """
    cells = min(num_cells, *(len(part) // (2 * least) for part in (generated, train, held_out)))
    if cells < 1:
        return np.nan, 0
    means = KMeans(cells, n_init=3, random_state=seed).fit(train.astype(np.float64))
    of_generated, of_train, of_held_out = (
        means.predict(part.astype(np.float64)) for part in (generated, train, held_out)
    )
    scores, weights = [], []
    for cell in range(cells):
        made, real = generated[of_generated == cell], held_out[of_held_out == cell]
        known = train[of_train == cell]
        if len(made) >= least and len(real) and len(known):
            scores.append(_z(_nearest(made, known), _nearest(real, known)))
            weights.append(len(real))
    return (float(np.average(scores, weights=weights)), len(scores)) if scores else (np.nan, 0)


def _z(generated: np.ndarray, held_out: np.ndarray) -> float:
    """Z_U of distances (m,) and (n,): U = #(generated > held-out), ties half, less mn / 2, over its null deviation.

    As in the paper the deviation is that without ties, sqrt(mn (m + n + 1) / 12).
    """
    m, n = len(generated), len(held_out)
    if not m or not n or np.isnan(generated).any():
        return np.nan
    u = mannwhitneyu(generated, held_out, method="asymptotic").statistic
    return float((u - m * n / 2) / np.sqrt(m * n * (m + n + 1) / 12))


def _nearest(images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Distance of each image (N, D) to the nearest known one (M, D): (N,), NaN without any."""
    if not len(images) or not len(known):
        return np.full(len(images), np.nan)
    # By differences: a squared norm less a product would leave some 1e-4 between equal features.
    search = NearestNeighbors(n_neighbors=1).fit(known.astype(np.float64))
    row = search.kneighbors(images.astype(np.float64), return_distance=False)[:, 0]
    return np.linalg.norm(images.astype(np.float64) - known[row], axis=1)


def _halves(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two halves, each class split evenly."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    return np.sort(order[::2]), np.sort(order[1::2])
