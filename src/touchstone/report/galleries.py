"""Probabilities and labels -> the test images of the galleries: the worst mistakes, or the extremes of each class."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.data.imageset import ImageSet
from touchstone.data.sheets import valid_area
from touchstone.evaluation.ensembles import replicate_mean
from touchstone.report.facts import Mistake, RankedClass, ScoredImage

EACH = 5  # images at either end


@dataclass(frozen=True)
class LabelledImages:
    """N images of a split."""

    images: ImageSet
    files: list[str]
    labels: np.ndarray
    """int64 (N,), or float32 (N, K) where images may have several labels."""
    classes: list[str]

    def shown(self, row: int) -> dict[str, Any]:
        """The fields of a GalleryImage."""
        return {"row": row, "file": self.files[row], "pixels": valid_area(self.images, row)}


def worst(probs: np.ndarray, test: LabelledImages, *, count: int) -> tuple[tuple[Mistake, ...], int]:
    """Return at most `count` wrong predictions, most confident first, and the number of all.

    probs: float32 (seeds, N, K). The mean over the replicates decides; equal probabilities keep the order of the rows.
    """
    mean = replicate_mean(probs)
    predicted, confidence = mean.argmax(1), mean.max(1)
    wrong = np.flatnonzero(predicted != test.labels)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    mistakes = tuple(
        Mistake(
            **test.shown(row),
            true=test.classes[test.labels[row]],
            predicted=test.classes[predicted[row]],
            probability=float(confidence[row]),
        )
        for row in order.tolist()
    )
    return mistakes, len(wrong)


def ranked(probs: np.ndarray, test: LabelledImages) -> tuple[RankedClass, ...]:
    """Rank the test images of each class by score, the mean over the replicates of probs, float32 (seeds, N, K).

    Equal scores keep the order of the rows. NaN labels are left out.
    """
    scores = replicate_mean(probs)
    classes = []
    for k, name in enumerate(test.classes):
        rows = np.flatnonzero(~np.isnan(test.labels[:, k]))
        order = rows[np.argsort(-scores[rows, k], kind="stable")].tolist()
        top, bottom = (
            tuple(
                ScoredImage(**test.shown(row), score=float(scores[row, k]), has_class=bool(test.labels[row, k] == 1))
                for row in end
            )
            for end in (order[:EACH], order[::-1][:EACH])
        )
        classes.append(RankedClass(name, top, bottom))
    return tuple(classes)
