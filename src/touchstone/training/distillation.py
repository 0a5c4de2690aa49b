"""Knowledge distillation: a student also learns the probabilities of teachers, Hinton et al. 2015, arXiv 1503.02531.

Teaching is consistent (Beyer et al. 2021, arXiv 2106.05237): in each step, the teachers see the student's own batch,
augmented and mixed as the student sees it. So each step costs a forward pass of every teacher.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from touchstone.data.ops import crops
from touchstone.models.runs import Predictor
from touchstone.training.setup import TrainingRun


@dataclass(frozen=True)
class Distillation:
    """The teachers of a student, and how it learns from them."""

    nets: list[Predictor]
    """Each behind its own normalisation, in evaluation mode."""
    temperature: float
    """The teachers' and the student's logits are divided by it."""
    weight: float
    """The teachers' share of the loss; the labels have the rest."""
    multi_label: bool
    _alike: dict[Any, bool] = field(default_factory=dict)
    """(net, mean, std) -> whether the net is normalised so. Asked once: a GPU answers when it has done all its work."""

    def to(self, device: torch.device) -> "Distillation":
        for net in self.nets:
            net.to(device)
        return self

    @torch.no_grad()
    def of_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the teachers' mean probabilities (B, K), softened by the temperature, of the student's batch.

        pixels: uint8 (B, H, W, C), or (B, 5, H, W, C), of whose crops the highest logit of each class counts.
        """
        count = crops.count(pixels)
        return self._mean([crops.max_over_crops(net.net(net.normalised(pixels)), count) for net in self.nets])

    @torch.no_grad()
    def of_mixed(self, mixed: torch.Tensor, *, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        """Do the same for mixed images (B, C, H, W), normalised by the student's mean and std, (C, 1, 1)."""
        logits = []
        for net in self.nets:
            key = net, mean, std  # by identity
            if key not in self._alike:
                self._alike[key] = torch.equal(net.mean, mean) and torch.equal(net.std, std)
            logits.append(net.net(mixed if self._alike[key] else (mixed * std + (mean - net.mean)) / net.std))
        return self._mean(logits)

    def _mean(self, logits: list[torch.Tensor]) -> torch.Tensor:
        soft = [one.float() / self.temperature for one in logits]
        probs = [torch.sigmoid(one) if self.multi_label else torch.softmax(one, 1) for one in soft]
        return torch.stack(probs).mean(0)

    def loss(self, logits: torch.Tensor, targets: torch.Tensor, of_labels: torch.Tensor) -> torch.Tensor:
        """Return the student's loss (): the weighted mean of `of_labels` () and of the divergence from the teachers.

        logits: the student's, (B, K). targets: (B, K). The Kullback-Leibler divergence is multiplied by the square of
        the temperature, which keeps the size of its gradients. With several labels per image it is the mean over them.
        """
        soft = logits / self.temperature
        if self.multi_label:
            kept = torch.xlogy(targets, targets) + torch.xlogy(1 - targets, 1 - targets)
            divergence = (kept - targets * F.logsigmoid(soft) - (1 - targets) * F.logsigmoid(-soft)).mean()
        else:
            divergence = F.kl_div(F.log_softmax(soft, 1), targets, reduction="batchmean")
        return (1 - self.weight) * of_labels + self.weight * self.temperature**2 * divergence


def distillation(run: TrainingRun, seed: int) -> Distillation | None:
    """Load the teachers of a seed of a run; None for a run that learns from labels alone."""
    settings = run.settings
    if run.teachers is None:
        return None
    how = {"temperature": settings.temperature, "weight": settings.teacher_weight, "multi_label": run.multi_label}
    return Distillation(run.teachers.nets(seed), **how)  # type: ignore[arg-type]
