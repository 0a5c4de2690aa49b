"""What is kept of a classifier's training: its history, validation, the best weights."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch

from touchstone.errors import TouchstoneError
from touchstone.training import steps
from touchstone.training.classifier import Classifier

Weights = dict[str, torch.Tensor]


@dataclass
class Progress(steps.Progress):
    """All there is to a run besides net and optimizer.

    best: a copy of the selected weights so far and its (score, negative loss); history: a row a validation.
    loss_sum: of the steps since the last row.
    """

    best: Weights | None = None
    best_score: tuple[float, float] = (float("-inf"), float("-inf"))
    best_step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    loss_sum: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    loss_count: int = 0


class Keeper(steps.Steps):
    """Keeps one seed's progress.

    is_eval: step -> whether to validate after it. Further arguments: those of `Steps`.
    """

    progress: Progress
    validate: Callable[[Classifier], tuple[float, float]] | None = None  # -> (loss, accuracy), where there are images

    def __init__(
        self,
        *,
        select: str,
        steps_per_epoch: float,
        is_eval: Callable[[int], bool],
        **stepping: Any,
    ) -> None:
        super().__init__(**stepping)
        self.select, self.steps_per_epoch, self.is_eval = select, steps_per_epoch, is_eval
        self.progress = Progress()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        p = self.progress
        kind = torch.float32 if pl_module.device.type == "mps" else torch.float64  # MPS has no float64
        p.loss_sum = p.loss_sum.to(pl_module.device, kind)

    def after_step(self, module: Any, outputs: dict[str, torch.Tensor]) -> None:
        module.follow()
        p = self.progress
        p.loss_sum += outputs["loss"].detach()  # stays a tensor: no wait for the device
        p.loss_count += 1
        if self.is_eval(p.step):
            self._record(module)

    def _record(self, classifier: Classifier) -> None:
        p = self.progress
        loss = float(p.loss_sum) / p.loss_count
        if not loss < float("inf"):
            raise TouchstoneError(f"{self.title}: the training loss is {loss} at step {p.step}; lower lr")
        row = {"step": p.step, "epoch": p.step / self.steps_per_epoch, "train_loss": loss}
        if self.validate is not None:
            row["val_loss"], row["val_accuracy"] = self.validate(classifier)
            self._keep_best(classifier, row)
            self.bar.set_postfix(loss=f"{loss:.3f}", val=f"{row['val_accuracy']:.3f}", refresh=False)
        p.history.append(row)
        p.loss_sum.zero_()
        p.loss_count = 0

    def _keep_best(self, classifier: Classifier, row: dict[str, float]) -> None:
        """The first of the best by the selected measure; equal accuracy is decided by the lower loss."""
        if self.select == "last":
            return
        p, loss = self.progress, -row["val_loss"]
        score = (row["val_accuracy"], loss) if self.select == "val_accuracy" else (loss, loss)
        if p.best is None or score > p.best_score:
            p.best, p.best_score, p.best_step = snapshot(classifier.judged), score, p.step


def snapshot(net: torch.nn.Module) -> Weights:
    """A copy of the weights, contiguous and on the CPU."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in net.state_dict().items()}
