"""Probabilities and labels -> the test images that an arm mends or breaks, and those that every run misses."""

from collections.abc import Sequence

import numpy as np

from touchstone.report.facts import Change, Changes, Missed
from touchstone.report.galleries import LabelledImages


def changes(run: np.ndarray, baseline: np.ndarray, test: LabelledImages, *, count: int) -> Changes:
    """The test images that most replicates of the baseline get wrong and most of a run right, and the reverse.

    run, baseline: float32 (replicates, N, K). At most `count` images of either kind are kept, those that most
    replicates agree on first.
    """
    after, before = (_right(probs, test).mean(0) for probs in (run, baseline))  # (N,)
    mended, broken = (after > 0.5) & (before <= 0.5), (after <= 0.5) & (before > 0.5)
    guesses = [_votes(probs, test).argmax(1) for probs in (run, baseline)]

    def kept(chosen: np.ndarray, wrong: np.ndarray) -> tuple[Change, ...]:
        rows = np.flatnonzero(chosen)
        order = rows[np.argsort(-np.abs(after - before)[rows], kind="stable")][:count]
        return tuple(
            Change(
                **test.shown(row),
                true=test.classes[test.labels[row]],
                predicted=test.classes[wrong[row]],
                before=float(before[row]),
                after=float(after[row]),
            )
            for row in order.tolist()
        )

    return Changes(kept(mended, guesses[1]), kept(broken, guesses[0]), int(mended.sum()), int(broken.sum()))


def missed(runs: Sequence[np.ndarray], test: LabelledImages, *, count: int) -> tuple[tuple[Missed, ...], int]:
    """Return the test images that most replicates of every run get wrong, and the number of all.

    runs: float32 (replicates, N, K) each. At most `count` images are kept: those of the most frequent confusions first,
    so that images that are taken for the same class stand together.
    """
    if not runs:
        return (), 0
    wrong = np.all([_right(probs, test).mean(0) <= 0.5 for probs in runs], axis=0)
    guesses = np.sum([_votes(probs, test) for probs in runs], axis=0).argmax(1)
    rows = np.flatnonzero(wrong)
    pairs = [(int(test.labels[row]), int(guesses[row])) for row in rows]
    order = sorted(zip(pairs, rows.tolist(), strict=True), key=lambda each: (-pairs.count(each[0]), *each))
    images = tuple(
        Missed(**test.shown(row), true=test.classes[true], predicted=test.classes[predicted])
        for (true, predicted), row in order[:count]
    )
    return images, len(rows)


def _right(probs: np.ndarray, test: LabelledImages) -> np.ndarray:
    """Whether each replicate is right on each image, bool (replicates, N)."""
    return probs.argmax(2) == test.labels


def _votes(probs: np.ndarray, test: LabelledImages) -> np.ndarray:
    """The number of replicates that predict each wrong class, int64 (N, K); 0 for the true one."""
    votes = (probs.argmax(2)[..., None] == np.arange(probs.shape[2])).sum(0)
    votes[np.arange(len(votes)), test.labels] = 0
    return votes
