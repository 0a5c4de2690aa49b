"""The loss of a classifier: cross-entropy, with class weights and label smoothing, on whole or mixed labels."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from touchstone.config.model import Phase

Mixing = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def balanced(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """float64 (K,): N / (K * images of the class), so that every class has the same share of the loss.

    K counts the classes that have images; one that has none weighs 0. labels: int64 (N,).
    """
    counts = np.bincount(labels, minlength=num_classes)
    there = counts > 0
    return np.divide(len(labels), there.sum() * counts, out=np.zeros(num_classes), where=there)


def weights_of(phase: Phase, labels: np.ndarray, num_classes: int) -> np.ndarray | None:
    """The phase's class weights, or None where all classes count as they come."""
    return balanced(labels, num_classes) if phase.class_weights == "balanced" else None


def chance(phase: Phase, labels: np.ndarray, num_classes: int) -> float:
    """The lowest loss that one answer for all images can have, in nats: the entropy of the labels as they are weighed
    and smoothed."""
    counts = np.bincount(labels, minlength=num_classes)
    given = weights_of(phase, labels, num_classes)
    weights = np.ones(num_classes) if given is None else given
    smoothing = phase.label_smoothing
    smoothed = (1 - smoothing) * counts + smoothing * len(labels) / num_classes  # torch weighs the smoothing, too
    shares = smoothed * weights / (counts * weights).sum()
    there = shares[shares > 0]
    return float(-(there * np.log(there / there.sum())).sum())


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, *, weights: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    """The weighted mean over a batch. logits: (B, K). labels: int64 (B,), or shares of the classes, float (B, K).

    Label smoothing: Szegedy et al. 2015, arXiv 1512.00567.
    """
    if weights is None or labels.ndim == 1:
        return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    total = F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing, reduction="sum")
    return total / (labels @ weights).sum()  # as torch does for whole labels


def mixing(phase: Phase, num_classes: int) -> Mixing | None:
    """float (B, C, H, W), int64 (B,) or float (B, K) -> mixed images, shares of the classes (B, K).

    None where the phase mixes none.

    Each batch with itself, shifted by one image, by one share that is drawn from torch's global generator. mixup: Zhang
    et al. 2017, arXiv 1710.09412; cutmix: Yun et al. 2019, arXiv 1905.04899; with both, either at random.
    """
    if not phase.mixes:
        return None
    from torchvision.transforms import v2  # here: it takes seconds to import

    chosen = [(phase.mixup, v2.MixUp), (phase.cutmix, v2.CutMix)]
    kinds = [kind(alpha=alpha, num_classes=num_classes) for alpha, kind in chosen if alpha]
    mix: Mixing = kinds[0] if len(kinds) == 1 else v2.RandomChoice(kinds)
    return mix
