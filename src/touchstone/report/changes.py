"""Probabilities and labels -> the test images that an arm mends or breaks, and those that every run misses."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from touchstone.report.facts import Change, Changes, Missed, MissedGroup
from touchstone.report.galleries import LabelledImages

MOST = 2000  # missed images that are grouped
GROUPS, LEAST = 6, 4  # most groups, and images for each on average, at least
CONFUSIONS = 3  # named for each group
DIGITS = 10  # of shares of the replicates, of which equal ones may differ in the last digit


def changes(run: np.ndarray, baseline: np.ndarray, test: LabelledImages, *, count: int) -> Changes:
    """The test images that most replicates of the baseline get wrong and most of a run right, and the reverse.

    run, baseline: float32 (replicates, N, K). At most `count` images of either kind are kept, those that most
    replicates agree on first.
    """
    after, before = (_right(probs, test).mean(0) for probs in (run, baseline))  # (N,)
    distance = np.abs(after - before).round(DIGITS)
    mended, broken = (after > 0.5) & (before <= 0.5), (after <= 0.5) & (before > 0.5)
    guesses = [_votes(probs, test).argmax(1) for probs in (run, baseline)]

    def kept(chosen: np.ndarray, wrong: np.ndarray) -> tuple[Change, ...]:
        rows = np.flatnonzero(chosen)
        order = rows[np.argsort(-distance[rows], kind="stable")][:count]
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


def missed(
    runs: Iterable[np.ndarray], test: LabelledImages, *, features: np.ndarray | None, count: int
) -> tuple[tuple[MissedGroup, ...], int]:
    """Return the test images that most replicates of every run get wrong, in groups, and the number of all.

    runs: float32 (replicates, N, K) each. features: (N, D), by which images that resemble one another are grouped;
    without them there is one group, in which the most frequent confusions come first. At most about `count` images are
    kept, equally many of each group: the most typical ones.
    """
    wrong, votes = np.ones(len(test.labels), bool), np.zeros((len(test.labels), len(test.classes)), np.int64)
    for probs in runs:
        wrong &= _right(probs, test).mean(0) <= 0.5
        votes += _votes(probs, test)
    rows = np.flatnonzero(wrong)
    pairs = [(int(test.labels[row]), int(votes[row].argmax())) for row in rows]
    found = Counter(pairs)
    order = sorted(range(len(rows)), key=lambda i: (-found[pairs[i]], pairs[i], i))[:MOST]
    members = alike(features[rows[order]]) if features is not None else [np.arange(len(order))]
    shown = max(min(1, count), count // max(1, len(members)))
    each = [[(int(rows[i]), pairs[i]) for i in (order[at] for at in group)] for group in members]
    return tuple(_group(group, test, count=shown) for group in each if group), len(rows)


def alike(features: np.ndarray) -> list[np.ndarray]:
    """Group images by their features (M, D) with Ward's linkage.

    Return the rows of each group, those nearest to its centre first; the largest group comes first.
    """
    number = min(GROUPS, len(features) // LEAST)
    values = features.astype(np.float64)
    groups = fcluster(linkage(values, "ward"), number, "maxclust") if number > 1 else np.zeros(len(values))
    members = []
    for each in np.unique(groups):
        rows = np.flatnonzero(groups == each)
        distances = np.linalg.norm(values[rows] - values[rows].mean(0), axis=1)
        members.append(rows[np.argsort(distances, kind="stable")])
    return sorted(members, key=len, reverse=True)


def _group(members: list[tuple[int, tuple[int, int]]], test: LabelledImages, *, count: int) -> MissedGroup:
    """members: the rows of the images, with their true and predicted classes."""
    images = tuple(
        Missed(**test.shown(row), true=test.classes[true], predicted=test.classes[predicted])
        for row, (true, predicted) in members[:count]
    )
    most = Counter(pair for _, pair in members).most_common(CONFUSIONS)
    texts = [f"{test.classes[true]} taken for {test.classes[predicted]} ({n})" for (true, predicted), n in most]
    return MissedGroup(images, len(members), ", ".join(texts))


def _right(probs: np.ndarray, test: LabelledImages) -> np.ndarray:
    """Whether each replicate is right on each image, bool (replicates, N)."""
    return probs.argmax(2) == test.labels


def _votes(probs: np.ndarray, test: LabelledImages) -> np.ndarray:
    """The number of replicates that predict each wrong class, int64 (N, K); 0 for the true one."""
    votes = (probs.argmax(2)[..., None] == np.arange(probs.shape[2])).sum(0)
    votes[np.arange(len(votes)), test.labels] = 0
    return votes
