"""Probs x labels -> the worst mistakes: wrong predictions, most confident first."""

import numpy as np

from touchstone.data.imageset import ImageSet
from touchstone.data.sheets import valid_area
from touchstone.report.facts import Mistake


def worst(
    probs: np.ndarray, labels: np.ndarray, *, count: int, test: ImageSet, files: list[str], classes: list[str]
) -> tuple[tuple[Mistake, ...], int]:
    """Return at most `count` mistakes and the number of all: float32 (seeds, N, K), int64 (N,), N file names.

    The mean over the seeds decides; equal probabilities keep the order of the rows.
    """
    mean = probs.mean(0, dtype=np.float64)  # (N, K)
    predicted = mean.argmax(1)
    confidence = mean[np.arange(len(mean)), predicted]
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    mistakes = tuple(
        Mistake(
            row=int(row),
            file=files[row],
            true=classes[labels[row]],
            predicted=classes[predicted[row]],
            probability=float(confidence[row]),
            pixels=valid_area(test, int(row)),
        )
        for row in order
    )
    return mistakes, len(wrong)
