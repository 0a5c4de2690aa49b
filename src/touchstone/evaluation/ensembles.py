"""Predictions of several runs -> those of the ensemble, seed by seed."""

from collections.abc import Collection, Sequence

import numpy as np

from touchstone.errors import TouchstoneError
from touchstone.evaluation.ensemble_weights import Score, greedy, mixture
from touchstone.evaluation.thresholds import decided

DIGITS = 6  # of weights


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
    """The ensemble's predictions from those of its members, (seeds, N, classes) each.

    prefer: the member that decides ties. thresholds: (classes,) for each member, where an image may have several
    labels: these are voted on one by one. weights: of each member, for the rules that find them. Raises TouchstoneError
    where the members' shapes differ.
    """
    shapes = {name: probs.shape for name, probs in members.items()}
    if len(set(shapes.values())) != 1:
        raise TouchstoneError(f"members of an ensemble differ in shape: {shapes}; run `dvc repro`")
    stack = np.stack(list(members.values()))  # (members, seeds, N, classes)
    if weights is not None:
        shares = np.array([weights[name] for name in members])
        return np.tensordot(shares, stack.astype(np.float64), 1).astype(stack.dtype)
    if rule == "mean":
        return stack.mean(0, dtype=np.float64).astype(stack.dtype)
    if thresholds is not None:
        votes = np.stack([decided(probs, thresholds[name]) for name, probs in members.items()])
        return majority_of_each(votes, decided(members[prefer], thresholds[prefer]))
    return majority(stack, members[prefer])


def member_weights(
    rule: str, members: dict[str, np.ndarray], labels: np.ndarray, *, name: str, score: Score
) -> dict[str, float] | None:
    """The weights that the rules weighted and greedy find on validation images; None for the other rules.

    members: predictions of the validation images, (seeds, N, classes) each. name: the ensemble's. score: what greedy
    selection maximises. Raises TouchstoneError without validation images.
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


def rotated_means(probs: np.ndarray, count: int) -> np.ndarray:
    """Each seed replaced by the mean over it and the seeds that follow, `count` in all; (seeds, N, classes)."""
    wide = probs.astype(np.float64)
    return np.mean([np.roll(wide, -i, 0) for i in range(count)], 0).astype(probs.dtype)


def majority_of_each(votes: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """The majority vote on each label, decided by the preferred member where votes are even.

    votes: bool (members, seeds, N, classes). preferred: bool (seeds, N, classes). The result is above .5 where the
    label is predicted. It is the share of the votes with one more for the decision, as in `majority`, and half a vote
    for each side, which keeps the log likelihood finite.
    """
    count = votes.sum(0)  # (seeds, N, classes)
    decision = np.where(2 * count == len(votes), preferred, 2 * count > len(votes))
    return (count + decision + 0.5) / (len(votes) + 2)


def majority(stack: np.ndarray, preferred: np.ndarray) -> np.ndarray:
    """The majority vote; where several classes have the most votes, the preferred member decides among them.

    stack: (members, seeds, N, classes). preferred: (seeds, N, classes). The argmax of the result is the decision. Its
    probabilities are shares of the votes, with one more vote for the decision and 1/classes for each class (Laplace),
    which keeps the log likelihood finite.
    """
    num_classes = stack.shape[-1]
    one_hot = np.eye(num_classes, dtype=np.float64)
    votes = one_hot[stack.argmax(-1)].sum(0)  # (seeds, N, classes)
    leads = votes == votes.max(-1, keepdims=True)
    decision = np.where(leads, preferred, -1.0).argmax(-1)
    shares = (votes + one_hot[decision] + 1 / num_classes) / (len(stack) + 2)
    return shares.astype(np.float32)


def tied(stack: np.ndarray) -> np.ndarray:
    """Whether several classes have the most votes, bool (seeds, N). stack: (members, seeds, N, classes)."""
    votes = np.eye(stack.shape[-1])[stack.argmax(-1)].sum(0)
    return (votes == votes.max(-1, keepdims=True)).sum(-1) > 1
