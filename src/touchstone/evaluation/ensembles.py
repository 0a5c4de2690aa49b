"""Predictions of several runs -> those of their ensemble, seed by seed, and the weights of its members."""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from touchstone.errors import TouchstoneError

DIGITS = 6  # of weights
DIGITS_OF_SHARES = 10  # far more than tell two numbers of votes apart, far fewer than float64 has
ROUNDS = 50  # of greedy selection; each adds one member
STEPS, ENOUGH = 1000, 1e-9  # of expectation maximisation, at most; the gain in nats at which it ends
TINY = 1e-12  # the lowest probability of a true label, which keeps the logarithm finite

Score = Callable[[np.ndarray], float]  # (seeds, N, K) -> how good, higher is better


def without_diverged(members: Sequence[str], diverged: Collection[str]) -> list[str]:
    """The members whose training diverged in no seed; all members where each diverged."""
    return [name for name in members if name not in diverged] or list(members)


def tie_breaker(members: Sequence[str], prefer: str) -> str:
    """The member that decides ties: the preferred one, or the first where that one is left out."""
    return prefer if prefer in members else members[0]


def combine(
    rule: str,
    members: dict[str, np.ndarray],
    *,
    prefer: str,
    thresholds: dict[str, np.ndarray] | None = None,
    weights: dict[str, float] | None = None,
) -> np.ndarray:
    """The ensemble's predictions from those of its members, (seeds, N, K) each.

    prefer: the member that decides ties. thresholds: member -> (K,), where an image may have several labels, which are
    then voted on one by one. weights: member -> weight, for the rules that find weights. Raises TouchstoneError where
    the members' shapes differ.
    """
    shapes = {name: probs.shape for name, probs in members.items()}
    if len(set(shapes.values())) != 1:
        raise TouchstoneError(f"members of an ensemble differ in shape: {shapes}; run `dvc repro`")
    stack = np.stack(list(members.values()))  # (members, seeds, N, K)
    if weights is not None:
        shares = np.array([weights[name] for name in members])
        return np.tensordot(shares, stack.astype(np.float64), 1).astype(stack.dtype)
    if rule == "mean":
        return stack.mean(0, dtype=np.float64).astype(stack.dtype)
    if thresholds is not None:
        votes = np.stack([probs >= thresholds[name] for name, probs in members.items()])
        return _majority_of_labels(votes, members[prefer] >= thresholds[prefer])
    return _majority(stack, members[prefer])


def _majority_of_labels(votes: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """The majority vote on each label, decided by the preferred member where votes are even.

    votes: bool (members, seeds, N, K). preferred: bool (seeds, N, K). The result is above .5 where the label is
    predicted: the share of the votes, with one more vote for the decision, as in `_majority`, and half a vote for each
    side, which keeps the log likelihood finite.
    """
    count = votes.sum(0)
    decision = np.where(2 * count == len(votes), preferred, 2 * count > len(votes))
    return (count + decision + 0.5) / (len(votes) + 2)


def _majority(stack: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """The majority vote; where several classes have the most votes, the preferred member decides among them.

    stack: (members, seeds, N, K). preferred: (seeds, N, K). The argmax of the result is the decision. Its probabilities
    are shares of the votes, with one more vote for the decision and 1 / K for each class (Laplace), which keeps the log
    likelihood finite. They are float64, which `replicate_mean` needs.
    """
    num_classes = stack.shape[-1]
    votes = _votes(stack)
    decision = np.where(votes == votes.max(-1, keepdims=True), preferred, -1.0).argmax(-1)
    return (votes + np.eye(num_classes)[decision] + 1 / num_classes) / (len(stack) + 2)


def _votes(stack: np.ndarray) -> np.ndarray:
    """(members, seeds, N, K) -> the number of votes for each class, float64 (seeds, N, K)."""
    return np.eye(stack.shape[-1])[stack.argmax(-1)].sum(0)


def tied(stack: np.ndarray) -> np.ndarray:
    """Whether several classes have the most votes, bool (seeds, N). stack: (members, seeds, N, K)."""
    votes = _votes(stack)
    return (votes == votes.max(-1, keepdims=True)).sum(-1) > 1


def replicate_mean(probs: np.ndarray) -> np.ndarray:
    """The mean over the replicates, (seeds, N, K) -> float64 (N, K).

    Sums of fractions differ in their last digits by the summands, so shares of votes, which are float64, are rounded:
    classes with equally many votes are equal then, and the first of them is the prediction.
    """
    mean = probs.mean(0, dtype=np.float64)
    return mean.round(DIGITS_OF_SHARES) if probs.dtype == np.float64 else mean


def rotated_means(probs: np.ndarray, count: int) -> np.ndarray:
    """Each seed replaced by the mean over it and the seeds that follow, `count` in all; (seeds, N, K)."""
    wide = probs.astype(np.float64)
    return np.mean([np.roll(wide, -i, 0) for i in range(count)], 0).astype(probs.dtype)


def member_weights(
    rule: str, members: dict[str, np.ndarray], labels: np.ndarray, *, name: str, score: Score
) -> dict[str, float] | None:
    """Member -> weight, found by the rules weighted and greedy on validation images; None for the other rules.

    members: predictions of the validation images, (seeds, N, K) each. labels: int64 (N,), or (N, K). name: of the
    ensemble. score: what greedy selection maximises. Raises TouchstoneError without validation images.
    """
    if rule not in ("weighted", "greedy"):
        return None
    if not len(labels):
        raise TouchstoneError(
            f"ensembles.{name}.rule: {rule} finds weights on validation images, and there are none; set mean, or "
            "data.val_fraction above 0"
        )
    stack = np.stack(list(members.values()))
    weights = mixture(stack, labels) if rule == "weighted" else greedy(stack, labels, score=score)
    return dict(zip(members, np.round(weights, DIGITS).tolist(), strict=True))


def mixture(stack: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The weights (members,) whose weighted mean has the lowest negative log likelihood, by expectation maximisation.

    The problem is convex, so any start leads to it. stack: (members, seeds, N, K).
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
    """Weights (members,) by ensemble selection with replacement: each round adds the member that makes the mean best.

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


def likelihoods(stack: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability of each true label by each member, float64 (members, M), at least TINY.

    M runs over seeds and images, and over labels where an image may have several.
    """
    if labels.ndim == 1:
        true = np.take_along_axis(stack, labels[None, None, :, None], 3)[..., 0]  # (members, seeds, N)
    else:
        true = np.where(labels == 1, stack, 1 - stack)[..., ~np.isnan(labels)]  # (members, seeds, M)
    return np.maximum(true.reshape(len(stack), -1).astype(np.float64), TINY)
