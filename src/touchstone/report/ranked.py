"""Probs x labels -> the test images that a class is seen in most and least."""

import numpy as np

from touchstone.data.imageset import ImageSet
from touchstone.data.sheets import valid_area
from touchstone.report.facts import Ranked, Shown

EACH = 5  # images at either end


def ranked(
    probs: np.ndarray, labels: np.ndarray, *, test: ImageSet, files: list[str], classes: list[str]
) -> tuple[Ranked, ...]:
    """Of each class the images with the highest and lowest scores, float32 (seeds, N, K) against float32 (N, K).

    The mean over the seeds decides; equal scores keep the order of the rows. Images that do not count are left out.
    """
    mean = probs.mean(0, dtype=np.float64)  # (N, K)
    found = []
    for k, name in enumerate(classes):
        rows = np.flatnonzero(~np.isnan(labels[:, k]))
        order = rows[np.argsort(-mean[rows, k], kind="stable")]
        ends = [
            tuple(
                Shown(int(r), files[r], float(mean[r, k]), bool(labels[r, k] == 1), valid_area(test, int(r)))
                for r in end
            )
            for end in (order[:EACH], order[::-1][:EACH])
        ]
        found.append(Ranked(name, *ends))
    return tuple(found)
