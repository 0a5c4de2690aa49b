"""Probs x labels -> the test images with the highest and lowest scores of each class."""

import numpy as np

from touchstone.data.imageset import ImageSet
from touchstone.data.sheets import valid_area
from touchstone.report.facts import RankedClass, ScoredImage

EACH = 5  # images at either end


def ranked(
    probs: np.ndarray, labels: np.ndarray, *, test: ImageSet, files: list[str], classes: list[str]
) -> tuple[RankedClass, ...]:
    """Rank the test images of each class by score: probs float32 (seeds, N, K), labels float32 (N, K), N file names.

    The score is the mean over the seeds; equal scores keep the order of the rows. NaN labels are left out.
    """
    scores = probs.mean(0, dtype=np.float64)  # (N, K)

    def image(row: int, k: int) -> ScoredImage:
        has_class = bool(labels[row, k] == 1)
        return ScoredImage(row, files[row], float(scores[row, k]), has_class, valid_area(test, row))

    def ranked_class(k: int, name: str) -> RankedClass:
        rows = np.flatnonzero(~np.isnan(labels[:, k]))
        order = rows[np.argsort(-scores[rows, k], kind="stable")].tolist()
        top, bottom = order[:EACH], order[::-1][:EACH]
        return RankedClass(name, tuple(image(row, k) for row in top), tuple(image(row, k) for row in bottom))

    return tuple(ranked_class(k, name) for k, name in enumerate(classes))
