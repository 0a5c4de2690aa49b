"""The engine `lightning`: Lightning's Trainer runs the loop, moves the batches, takes the steps."""

from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch

from touchstone.config.sections import Machine
from touchstone.training.keeper import Keeper
from touchstone.training.learner import Batch, Learner
from touchstone.training.plain import OnStep
from touchstone.training.trainer import Hooks, lean


class Module(pl.LightningModule):
    """A learner as a LightningModule, in what Lightning calls manual optimization: an update may take several steps."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.classifier, self.learner = learner.classifier, learner

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, torch.Tensor]:
        optimizer: Any = self.optimizers()
        return self.learner.learn(batch, backward=self.manual_backward, update=optimizer.step)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.learner.optimizer


class _OnStep(pl.Callback):
    def __init__(self, keeper: Keeper, tell: OnStep) -> None:
        self.keeper, self.tell = keeper, tell

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.tell(self.keeper.progress.step)


def fit(
    learner: Learner, batches: Iterable[Batch], keeper: Keeper, *, machine: Machine, on_step: OnStep | None = None
) -> None:
    """Run the learner over what is left of a stream, once; `on_step` is told each step that is done."""
    callbacks: list[pl.Callback] = [Hooks(keeper, learner)]
    callbacks += [] if on_step is None else [_OnStep(keeper, on_step)]
    trainer = lean(machine, callbacks, deterministic=learner.settings.deterministic)
    trainer.fit(Module(learner), batches)
