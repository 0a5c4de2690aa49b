"""Weights of an ensemble's members, chosen on validation images: (members, seeds, N, K) probabilities -> (members,)."""

from collections.abc import Callable

import numpy as np

from touchstone.evaluation.likelihood import likelihoods

ROUNDS = 50  # of greedy selection, in each of which one member is added
STEPS, ENOUGH = 1000, 1e-9  # of the search for the best mixture: at most; the gain in nats at which it ends

Score = Callable[[np.ndarray], float]  # (seeds, N, K) -> how good, higher is better


def mixture(stack: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The weights with the lowest negative log likelihood of the weighted mean, by expectation maximisation.

    The problem is convex, so any start leads there. labels: int64 (N,), or (N, K) where an image may have several.
    """
    true = likelihoods(stack, labels)  # (members, M)
    weights = np.full(len(stack), 1 / len(stack))
    before = -np.inf
    for _ in range(STEPS):
        shares = weights[:, None] * true
        total = shares.sum(0)
        weights = (shares / total).mean(1)
        now = float(np.log(total).mean())
        if now - before < ENOUGH:
            break
        before = now
    return weights / weights.sum()


def greedy(stack: np.ndarray, labels: np.ndarray, *, score: Score) -> np.ndarray:
    """Ensemble selection with replacement: each round adds the member that makes the mean best, for ROUNDS rounds.

    Caruana et al. 2004, "Ensemble selection from libraries of models". Equal scores are decided by the likelihood,
    then by the order of the members. The weights are those after the best round, the first of equally good ones.
    """
    wide = stack.astype(np.float64)
    counts = np.zeros(len(stack), int)
    total = np.zeros(stack.shape[1:])
    best, chosen = (-np.inf, -np.inf), counts.copy()
    for number in range(1, ROUNDS + 1):
        rated = []
        for member in wide:
            mean = (total + member) / number
            rated.append((score(mean), float(np.log(likelihoods(mean[None], labels)).mean())))
        k = max(range(len(rated)), key=rated.__getitem__)
        counts[k] += 1
        total += wide[k]
        if rated[k] > best:
            best, chosen = rated[k], counts.copy()
    return chosen / chosen.sum()
