"""Likeness of generated images to held-out real ones, in features, at equal numbers and an equal mix of classes.

The features come from a classifier of this data set, so distances are comparable on one data set and with one
classifier only; the Frechet distance in in-domain features is not the FID of the literature.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field

import numpy as np
import torch
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from touchstone.seeds import derive, generator

KID_SUBSETS = 10  # of each draw
KID_SUBSET_SIZE = 1000  # images, at most: all of a smaller draw


@dataclass(frozen=True)
class LabelledFeatures:
    """The features of N images, and the classes in which they are matched."""

    values: np.ndarray
    """float32 (N, D)."""
    labels: np.ndarray
    """int64 (N,), a class each."""
    groups: np.ndarray | None = field(default=None, kw_only=True)
    """int64 (N,), the group of each image, such as a patient; None where images are independent."""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.labels.shape != self.values.shape[:1]:
            raise ValueError(f"features: got values {self.values.shape}, labels {self.labels.shape}, expected (N, D)")


@dataclass(frozen=True)
class Figures:
    """A set compared with the held-out images; NaN where there are too few images to say."""

    frechet: float
    """Distance, 0 or more."""
    kid: float
    """Distance, around 0 for equal distributions."""
    precision: float
    """Share, 0 to 1, as are recall and coverage."""
    recall: float
    density: float
    """Around 1 for equal distributions; no upper bound."""
    coverage: float


@dataclass(frozen=True)
class Quality:
    """Means over the draws, and their standard deviations (NaN with one draw).

    The draws are subsamples of one set, so a standard deviation says how much a figure depends on the subsample. It is
    no error of the figure for another set, generator or split.
    The floor has real training images in place of the generated ones: nothing generated can be expected to do better.
    """

    num_images: int
    """Images of each set in a draw."""
    generated: Figures
    generated_std: Figures
    floor: Figures
    floor_std: Figures
    gap: float
    """The Frechet distance to the training images minus that to the held-out ones, over the same draws: below 0 for
    images that resemble the training images more than unseen ones."""
    gap_std: float


def quality(
    generated: LabelledFeatures,
    train: LabelledFeatures,
    held_out: LabelledFeatures,
    *,
    seed: int,
    num_draws: int = 5,
    neighbours: int = 5,
) -> Quality:
    """Compare generated images with held-out ones and, as the floor, training images with the same held-out ones.

    A pure function of its arguments: torch's global generator is left as it was.
    """
    draws, gaps, count = [], [], 0
    for draw in range(num_draws):
        rows = matched(generated.labels, train.labels, held_out.labels, rng=generator(seed, "quality", draw))
        made, training, real = (
            part.values[row].astype(np.float64) for part, row in zip((generated, train, held_out), rows, strict=True)
        )
        count = len(real)
        kid_seed = derive(seed, "kid", draw)
        pair = (figures(images, real, neighbours=neighbours, seed=kid_seed) for images in (made, training))
        draws.append([astuple(each) for each in pair])
        gaps.append(frechet_distance(made, training) - draws[-1][0][0])
    drawn = np.array(draws)  # (draws, 2, figures)
    std, gap_std = (_std(np.array(values)) for values in (draws, gaps))
    generated_mean, floor_mean, generated_std, floor_std = (Figures(*row.tolist()) for row in (*drawn.mean(0), *std))
    return Quality(count, generated_mean, generated_std, floor_mean, floor_std, float(np.mean(gaps)), float(gap_std))


def _std(drawn: np.ndarray) -> np.ndarray:
    """The standard deviation over the draws (draws, ...), NaN with one."""
    return drawn.std(0, ddof=1) if len(drawn) > 1 else np.full(drawn.shape[1:], np.nan)


def matched(*labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Draw rows of each set of labels (N,) without replacement, of each class as many as the set with fewest has.

    Returns int64 arrays of equal length.
    """
    chosen: list[list[np.ndarray]] = [[np.zeros(0, np.int64)] for _ in labels]
    for name in np.unique(np.concatenate(labels)):
        rows = [np.flatnonzero(part == name) for part in labels]
        fewest = min(map(len, rows))
        for parts, row in zip(chosen, rows, strict=True):
            parts.append(np.sort(rng.permutation(row)[:fewest]))
    return tuple(np.concatenate(parts) for parts in chosen)


def figures(images: np.ndarray, real: np.ndarray, *, neighbours: int, seed: int) -> Figures:
    """Compare features, float64 (N, D), with those of as many real images, float64 (N, D)."""
    distances = frechet_distance(images, real), kernel_distance(images, real, seed=seed)
    return Figures(*distances, *neighbourhoods(images, real, neighbours=neighbours))


def frechet_distance(images: np.ndarray, real: np.ndarray) -> float:
    """The squared Frechet distance of two Gaussians fitted to features float64 (N, D), (M, D).

    |mu - mu_r|^2 + tr(S + S_r - 2 (S S_r)^(1/2)), arXiv 1706.08500. It is biased upwards with few images, so
    compare figures at equal numbers only. NaN below 2 images.
    """
    if min(len(images), len(real)) < 2:
        return np.nan
    with _one_thread():
        metric = FrechetInceptionDistance(feature=_Given(images.shape[1]))
        metric.update(torch.from_numpy(images), real=False)
        metric.update(torch.from_numpy(real), real=True)
        return float(metric.compute())


def kernel_distance(images: np.ndarray, real: np.ndarray, *, seed: int) -> float:
    """The kernel distance (KID, arXiv 1801.01401) of features float64 (N, D), (M, D), which is unbiased.

    The mean over KID_SUBSETS subsets of the squared maximum mean discrepancy, kernel (x y / D + 1)^3. NaN below 2.
    """
    size = min(len(images), len(real), KID_SUBSET_SIZE)
    if size < 2:
        return np.nan
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), _one_thread():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance`")  # it keeps all features
        torch.random.default_generator.manual_seed(seed)  # torch.manual_seed would touch accelerators too
        metric = KernelInceptionDistance(feature=_Given(images.shape[1]), subsets=KID_SUBSETS, subset_size=size)
        metric.update(torch.from_numpy(images), real=False)
        metric.update(torch.from_numpy(real), real=True)
        return float(metric.compute()[0])


def neighbourhoods(images: np.ndarray, real: np.ndarray, *, neighbours: int) -> tuple[float, float, float, float]:
    """Precision, recall (arXiv 1904.06991), density, coverage (arXiv 2002.09797) of float64 (N, D) against (M, D).

    A ball reaches from an image to its k-th neighbour in its own set. precision: the share of images in any ball of a
    real one; recall: the share of real ones in any ball of an image; density: the balls of real ones that an image is
    in, over k; coverage: the share of real ones with an image in their ball. NaN with k images or fewer.
    """
    if min(len(images), len(real)) <= neighbours:
        return np.nan, np.nan, np.nan, np.nan
    radius, radius_real = _radii(images, neighbours), _radii(real, neighbours)
    balls, recalled, covered, start = np.zeros(len(images)), [], [], 0
    for block in pairwise_distances_chunked(real, images):  # (B, N)
        inside = block <= radius_real[start : start + len(block), None]
        start += len(block)
        balls += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((block <= radius).any(1))
    return (
        float((balls > 0).mean()),
        float(np.concatenate(recalled).mean()),
        float(balls.mean() / neighbours),
        float(np.concatenate(covered).mean()),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch in one thread: sums do not depend on the number of cores, and small matrices are faster."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Given(torch.nn.Identity):
    """Passes features (N, D) through where torchmetrics expects a network that computes them."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def _radii(values: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance of each row (N, D) to its k-th neighbour among the others, (N,)."""
    distances, _ = NearestNeighbors(n_neighbors=neighbours).fit(values).kneighbors()  # without X: others only
    return distances[:, -1]
