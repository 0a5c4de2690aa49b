"""What training strives for: the right class of each image, or all its labels; losses, and what is validated.

Both kinds have the same methods, so that the rest of training does not ask which one it is.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from touchstone.config.model import Phase
from touchstone.evaluation.average_precision import mean_average_precision
from touchstone.training import binary_loss, loss


class Objective(Protocol):
    """labels: of the training images. measures: what is validated. equal: the loss of equal probabilities, in nats.
    alike: how predictions that are all the same are told; "" where that says nothing."""

    @property
    def labels(self) -> np.ndarray: ...

    @property
    def measures(self) -> tuple[str, ...]: ...

    @property
    def equal(self) -> float: ...

    @property
    def alike(self) -> str: ...

    def chance(self, phase: Phase) -> float:
        """The lowest loss of one answer for all images."""

    def weights(self, phase: Phase) -> np.ndarray | None:
        """Class weights, in the form that `loss` takes; None: all count as they come."""

    def loss(
        self, logits: torch.Tensor, labels: torch.Tensor, *, weights: torch.Tensor | None, smoothing: float
    ) -> torch.Tensor:
        """The mean over a batch. logits: (B, K)."""

    def decided(self, logits: torch.Tensor) -> torch.Tensor:
        """What is predicted of each image, (B, ...)."""

    def validated(self, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """The measures of validation images."""


@dataclass(frozen=True)
class OneClass:
    """One class an image: cross-entropy. labels: int64 (N,)."""

    labels: np.ndarray
    num_classes: int
    measures = ("val_loss", "val_accuracy")

    @property
    def equal(self) -> float:
        return math.log(max(2, self.num_classes))

    @property
    def alike(self) -> str:
        return "to be of one class" if self.num_classes > 1 else ""

    def chance(self, phase: Phase) -> float:
        return loss.chance(phase, self.labels, self.num_classes)

    def weights(self, phase: Phase) -> np.ndarray | None:
        return loss.weights_of(phase, self.labels, self.num_classes)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, **how: Any) -> torch.Tensor:
        return loss.cross_entropy(logits, labels, **how)

    def decided(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.argmax(1)

    def validated(self, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        return {
            "val_loss": float(F.cross_entropy(logits, labels)),
            "val_accuracy": float((logits.argmax(1) == labels).double().mean()),
        }


@dataclass(frozen=True)
class AnyLabels:
    """Several labels an image, or none: binary cross-entropy of each class. labels: float32 (N, K), see labels.py."""

    labels: np.ndarray
    measures = ("val_loss", "val_accuracy", "val_map")
    equal = math.log(2)
    alike = "to have the same labels"

    def chance(self, phase: Phase) -> float:
        return binary_loss.chance(phase, self.labels)

    def weights(self, phase: Phase) -> np.ndarray | None:
        return binary_loss.weights_of(phase, self.labels)

    def loss(self, logits: torch.Tensor, labels: torch.Tensor, **how: Any) -> torch.Tensor:
        return binary_loss.binary_cross_entropy(logits, labels, **how)

    def decided(self, logits: torch.Tensor) -> torch.Tensor:
        return logits > 0

    def validated(self, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        counts = ~labels.isnan()
        return {
            "val_loss": float(binary_loss.binary_cross_entropy(logits, labels)),
            "val_accuracy": float((self.decided(logits) == (labels == 1))[counts].double().mean()),
            "val_map": mean_average_precision(logits.numpy(), labels.numpy()),
        }


def objective(labels: np.ndarray, num_classes: int) -> Objective:
    """Of labels int64 (N,), or float32 (N, K)."""
    return OneClass(labels, num_classes) if labels.ndim == 1 else AnyLabels(labels)
