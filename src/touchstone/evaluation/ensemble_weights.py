"""Weights of an ensemble's members, chosen on validation images: (members, seeds, N, K) probabilities -> (members,)."""

from collections.abc import Callable

import numpy as np

ROUNDS = 50  # of greedy selection: members are taken at most so often, all together
STEPS, ENOUGH = 1000, 1e-9  # of the search for the best mixture; the gain in nats at which it ends
TINY = 1e-12  # of a probability

Score = Callable[[np.ndarray], float]  # (seeds, N, K) -> how good, higher is better


def mixture(stack: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The weights with the lowest negative log likelihood of the weighted mean, by expectation maximisation.

    The problem is convex, so that the start does not matter. labels: int64 (N,), or (N, K) of several labels an image.
    """
    told = of_truth(stack, labels)  # (members, M)
    weights = np.full(len(stack), 1 / len(stack))
    before = -np.inf
    for _ in range(STEPS):
        shares = weights[:, None] * told
        total = shares.sum(0)
        weights = (shares / total).mean(1)
        now = float(np.log(total).mean())
        if now - before < ENOUGH:
            break
        before = now
    return weights / weights.sum()


def greedy(stack: np.ndarray, labels: np.ndarray, *, score: Score) -> np.ndarray:
    """Ensemble selection with replacement: in each round the member that makes the mean best, as often as that pays.

    Caruana et al. 2004, "Ensemble selection from libraries of models". Of equal scores the higher likelihood decides,
    then the order; of all rounds the first best one counts.
    """
    wide = stack.astype(np.float64)
    counts = np.zeros(len(stack), int)
    total = np.zeros(stack.shape[1:])
    best, chosen = (-np.inf, -np.inf), counts.copy()
    for number in range(1, ROUNDS + 1):
        rated = []
        for member in wide:
            mean = (total + member) / number
            rated.append((score(mean), float(np.log(of_truth(mean[None], labels)).mean())))
        k = max(range(len(rated)), key=rated.__getitem__)
        counts[k] += 1
        total += wide[k]
        if rated[k] > best:
            best, chosen = rated[k], counts.copy()
    return chosen / chosen.sum()


def of_truth(stack: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What each member gives to what is so: (members, M), over seeds and images, and labels where there are several."""
    if labels.ndim == 1:
        found = np.take_along_axis(stack, labels[None, None, :, None], 3)[..., 0]  # (members, seeds, N)
    else:
        found = np.where(labels == 1, stack, 1 - stack)[..., ~np.isnan(labels)]  # (members, seeds, M)
    return np.maximum(found.reshape(len(stack), -1).astype(np.float64), TINY)
