"""Lightning at its leanest, and how it drives the steps of a training."""

import logging
import os
import warnings
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils import deterministic as torch_deterministic

from touchstone.config.sections import Machine
from touchstone.training.steps import Steps, Trainee

# Lightning lets torch look for GPUs by way of NVML. Optimizers of torch look in every step; where there is no NVML,
# that is a library searched in vain, some .3 ms.
if not torch.cuda.is_available():
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

UNWANTED = (
    "does not have many workers",
    "have no `val_dataloader`",
    "LeafSpec",
    "in eval mode at the start of training",
    "predict returned None",
)


class Hooks(pl.Callback):
    """Calls `steps` at Lightning's moments. trainee: what is trained, where that is not the LightningModule itself."""

    def __init__(self, steps: Steps, trainee: Trainee | None = None) -> None:
        self.steps, self.trainee = steps, trainee

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.steps.begin(self.trainee or pl_module)  # type: ignore[arg-type]

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.steps.before(self.trainee or pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.steps.after(self.trainee or pl_module, outputs)
        trainer.should_stop = trainer.should_stop or self.steps.is_over

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.steps.end()


def lean(
    machine: Machine,
    callbacks: Sequence[pl.Callback],
    *,
    devices: int = 1,
    strategy: str = "auto",
    deterministic: bool = True,
) -> pl.Trainer:
    """One pass over what is left of a stream; nothing logged a step, no checkpoint of Lightning's own.

    deterministic: kernels that give the same bytes again.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for text in UNWANTED:
        warnings.filterwarnings("ignore", f".*{text}.*")
    torch_deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs time
    return pl.Trainer(
        accelerator=machine.accelerator,
        devices=devices,
        strategy=strategy,
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        deterministic=deterministic,
        benchmark=not deterministic,
        inference_mode=False,
    )
