"""The losses and validation measures for images of one class each and for images with several labels.

Both classes have the same methods, so the rest of training does not ask which one it has.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import entr
from torch.nn import functional as F

from touchstone.config.schema.model import Phase
from touchstone.data.sampling import balancing_weights
from touchstone.evaluation.average_precision import mean_average_precision
from touchstone.training.focal import focal_loss, focal_losses, lowest_loss, lowest_losses

Mixing = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class SingleLabel:
    """One class an image: cross-entropy or the focal loss, with class weights, and label smoothing of the former."""

    labels: np.ndarray  # int64 (N,), of the training images
    num_classes: int

    measures = ("val_loss", "val_accuracy")  # the keys of what `validated` returns

    @property
    def uniform_loss(self) -> float:
        """The loss of equal probabilities, in nats."""
        return math.log(max(2, self.num_classes))

    @property
    def collapse_text(self) -> str:
        """The words for identical predictions in a message; "" where they are no sign of divergence."""
        return "to be of one class" if self.num_classes > 1 else ""

    def chance_loss(self, phase: Phase) -> float:
        """The lowest loss of a net that answers every image alike, in nats, with the phase's loss and sampler."""
        drawn = balancing_weights(self.labels, phase.balance) if phase.balance else None
        counts = np.bincount(self.labels, drawn, minlength=self.num_classes)
        given = self.class_weights(phase)
        weights = np.ones(self.num_classes) if given is None else given
        if phase.gamma is not None:
            return lowest_loss(counts * weights / (counts * weights).sum(), phase.gamma)
        smoothing = phase.label_smoothing
        smoothed = (1 - smoothing) * counts + smoothing * len(self.labels) / self.num_classes
        shares = smoothed * weights / (counts * weights).sum()  # torch weighs the smoothing, too
        present = shares[shares > 0]
        return float(-(present * np.log(present / present.sum())).sum())

    def class_weights(self, phase: Phase) -> np.ndarray | None:
        """The class weights of a phase, float64 (K,), or None for equal ones."""
        if phase.class_weights == "effective":
            counts = np.bincount(self.labels, minlength=self.num_classes)
            weights = inverse_effective(counts, phase.effective_beta)
            return weights * np.count_nonzero(counts) / weights.sum()
        return self.balanced() if phase.class_weights == "balanced" else None

    def balanced(self) -> np.ndarray:
        """N / (K' * images of each class), float64 (K,), where K' classes have images; 0 for a class without any.

        They give all classes equal shares of the loss.
        """
        counts = np.bincount(self.labels, minlength=self.num_classes)
        present = counts > 0
        return np.divide(len(self.labels), present.sum() * counts, out=np.zeros(self.num_classes), where=present)

    def loss(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        *,
        weights: torch.Tensor | None = None,
        smoothing: float = 0.0,
        gamma: float | None = None,
    ) -> torch.Tensor:
        """The weighted mean loss () of a batch: cross-entropy of logits (B, K) or, with a gamma, the focal loss.

        labels: int64 (B,), or the classes' shares of mixed images, float (B, K). weights: (K,). Label smoothing:
        Szegedy et al. 2015, arXiv 1512.00567.
        """
        if gamma is not None:
            return focal_loss(logits, labels, gamma=gamma, weights=weights)
        if weights is None or labels.ndim == 1:
            return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
        total = F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing, reduction="sum")
        return total / (labels @ weights).sum()  # as torch does for whole labels

    def decided(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (B, K) -> the prediction for each image, (B, ...)."""
        return logits.argmax(1)

    def validated(self, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """The `measures` of validation images. logits: (N, K) on the CPU."""
        return {
            "val_loss": float(F.cross_entropy(logits, labels)),
            "val_accuracy": float((logits.argmax(1) == labels).double().mean()),
        }


@dataclass(frozen=True)
class MultiLabel:
    """Several labels an image, or none: binary cross-entropy, or the focal loss, of each class.

    Labels are float32 (N, K): 1 present, 0 absent, in between where images are mixed, NaN where a label is ignored.
    """

    labels: np.ndarray
    num_classes: int

    measures = ("val_loss", "val_accuracy", "val_map")
    uniform_loss = math.log(2)
    collapse_text = "to have the same labels"

    def chance_loss(self, phase: Phase) -> float:
        given = self.class_weights(phase)
        drawn = balancing_weights(self.labels, phase.balance) if phase.balance else None
        present, absent = self._counts(drawn) * (1.0 if given is None else given)
        total = present + absent
        counted = total > 0
        if phase.gamma is not None:
            return float(lowest_losses(np.stack([present, absent])[:, counted], phase.gamma).sum() / total.sum())
        half = phase.label_smoothing / 2
        share = ((1 - half) * present + half * absent)[counted] / total[counted]
        return float(((entr(share) + entr(1 - share)) * total[counted]).sum() / total.sum())

    def class_weights(self, phase: Phase) -> np.ndarray | None:
        """The weights of a phase for images with and without each class, float64 (2, K), or None for equal ones."""
        if phase.class_weights == "effective":
            counts = self._counts()
            weights = inverse_effective(counts, phase.effective_beta)
            return weights * counts.sum(0) / np.maximum((weights * counts).sum(0), np.finfo(float).tiny)
        return self.balanced() if phase.class_weights == "balanced" else None

    def balanced(self) -> np.ndarray:
        """float64 (2, K): n / (2 * images with the class) and n / (2 * images without it), of the n images that count.

        A class that has images of one kind only weighs 1 for it.
        """
        counts = self._counts()
        kinds = np.maximum((counts > 0).sum(0), 1)
        return np.divide(counts.sum(0), kinds * counts, out=np.zeros(counts.shape), where=counts > 0)

    def _counts(self, drawn: np.ndarray | None = None) -> np.ndarray:
        """(2, K): the number of images with and without each class. drawn: how often each counts, (N,); None: once."""
        often = 1 if drawn is None else drawn[:, None]
        return np.stack([((self.labels == 1) * often).sum(0), ((self.labels == 0) * often).sum(0)])

    def loss(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        *,
        weights: torch.Tensor | None = None,
        smoothing: float = 0.0,
        gamma: float | None = None,
    ) -> torch.Tensor:
        """The weighted mean over the labels (B, K) that count, 0 where none does.

        weights: (2, K), of images with and without a class. Smoothing draws labels to 1/2.
        """
        counts = ~labels.isnan()
        shares = torch.where(counts, labels, 0.0)
        weight = counts.to(logits.dtype)
        if weights is not None:
            weight = weight * (shares * weights[0] + (1 - shares) * weights[1])
        if gamma is None:
            soft = shares * (1 - smoothing) + smoothing / 2
            each = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
        else:
            each = focal_losses(logits, shares, gamma=gamma)
        return (each * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)

    def decided(self, logits: torch.Tensor) -> torch.Tensor:
        return logits > 0

    def validated(self, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        counts = ~labels.isnan()
        return {
            "val_loss": float(self.loss(logits, labels)),
            "val_accuracy": float((self.decided(logits) == (labels == 1))[counts].double().mean()),
            "val_map": mean_average_precision(logits.numpy(), labels.numpy()),
        }


Objective = SingleLabel | MultiLabel


def objective_for(labels: np.ndarray, num_classes: int) -> Objective:
    """Return the objective for labels int64 (N,), or float32 (N, K)."""
    return SingleLabel(labels, num_classes) if labels.ndim == 1 else MultiLabel(labels, num_classes)


def inverse_effective(counts: np.ndarray, beta: float) -> np.ndarray:
    """Return (1 - beta) / (1 - beta**n) for numbers n of images, 0 where n is 0: 1 over their effective number.

    Cui et al. 2019, "Class-balanced loss based on effective number of samples", arXiv 1901.05555.
    """
    inverse = [(1 - beta) / (1 - beta**n) if n else 0.0 for n in counts.ravel().tolist()]
    return np.array(inverse).reshape(counts.shape)


def mixing(phase: Phase, num_classes: int) -> Mixing | None:
    """Return a function that mixes a batch, or None where the phase mixes nothing.

    Images float (B, C, H, W), labels int64 (B,) or float (B, K) -> mixed images, and labels (B, K). Each image is mixed
    with its neighbour in the batch, all in one share that torch's global generator draws. mixup: Zhang et al. 2017,
    arXiv 1710.09412; cutmix: Yun et al. 2019, arXiv 1905.04899; with both, each batch takes either at random.
    """
    if not phase.mixes:
        return None
    from torchvision.transforms import v2  # here: it takes seconds to import

    chosen = [(phase.mixup, v2.MixUp), (phase.cutmix, v2.CutMix)]
    kinds = [kind(alpha=alpha, num_classes=num_classes) for alpha, kind in chosen if alpha]
    mix: Mixing = kinds[0] if len(kinds) == 1 else v2.RandomChoice(kinds)
    return mix
