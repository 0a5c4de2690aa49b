"""The loss of a classifier of several labels an image: binary cross-entropy, class by class.

Labels: float32 (N, K), 1 there, 0 not, in between where images are mixed, NaN where that is not to count.
"""

import numpy as np
import torch
from scipy.special import entr
from torch.nn import functional as F

from touchstone.config.model import Phase


def balanced(labels: np.ndarray) -> np.ndarray:
    """float64 (2, K): what images with and without each class weigh, so that both have the same share of its loss.

    n / (2 * images with it) and n / (2 * images without it) of the n images that count; where there is but one kind,
    it weighs 1.
    """
    counts = np.stack([(labels == 1).sum(0), (labels == 0).sum(0)])
    kinds = np.maximum((counts > 0).sum(0), 1)
    return np.divide(counts.sum(0), kinds * counts, out=np.zeros(counts.shape), where=counts > 0)


def weights_of(phase: Phase, labels: np.ndarray) -> np.ndarray | None:
    """The phase's weights (2, K), or None where all count as they come."""
    return balanced(labels) if phase.class_weights == "balanced" else None


def chance(phase: Phase, labels: np.ndarray) -> float:
    """The lowest loss that one answer for all images can have, in nats: the mean entropy of the classes as they are
    weighed and smoothed."""
    given = weights_of(phase, labels)
    with_it, without = np.stack([(labels == 1).sum(0), (labels == 0).sum(0)]) * (1.0 if given is None else given)
    total = with_it + without
    there = total > 0
    half = phase.label_smoothing / 2
    share = ((1 - half) * with_it + half * without)[there] / total[there]
    return float(((entr(share) + entr(1 - share)) * total[there]).sum() / total.sum())


def binary_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, *, weights: torch.Tensor | None = None, smoothing: float = 0.0
) -> torch.Tensor:
    """The weighted mean over a batch and its classes, of what counts; 0 where nothing does. logits, labels: (B, K).

    weights: (2, K), of images with and without a class. Smoothing draws labels to 1/2.
    """
    counts = ~labels.isnan()
    shares = torch.where(counts, labels, 0.0)
    weight = counts.to(logits.dtype)
    if weights is not None:
        weight = weight * (shares * weights[0] + (1 - shares) * weights[1])
    each = F.binary_cross_entropy_with_logits(logits, shares * (1 - smoothing) + smoothing / 2, reduction="none")
    return (each * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
