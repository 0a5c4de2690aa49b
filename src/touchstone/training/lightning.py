"""The engine lightning: Lightning's Trainer without its extras, and the classes that let it drive our steps."""

import ctypes
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import nn
from torch.utils import deterministic as torch_deterministic

from touchstone.config.schema.machine import Machine
from touchstone.training.resumable import ResumableCallback

# Lightning lets torch look for GPUs through NVML, and torch's optimizers look in every step: without NVML, each search
# for the missing library takes some 0.3 ms. torch is not asked here, as without NVML it would initialise CUDA, after
# which a warm process can fork no stage that uses it.
try:
    ctypes.CDLL("libnvidia-ml.so.1")
except OSError:
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)

# Without a search for unused parameters, DDP lays out its sums anew after the first step, also of a resumed training,
# which would end in other last bits.
SEVERAL = "ddp_find_unused_parameters_true"
UNWANTED = (
    "does not have many workers",
    "have no `val_dataloader`",
    "LeafSpec",
    "in eval mode at the start of training",
    "predict returned None",
    "find_unused_parameters=True was specified",
)


class StepModule(pl.LightningModule):
    """Our step, in Lightning's manual optimization, as not every batch is followed by an update."""

    def __init__(
        self, step: Callable[..., dict[str, torch.Tensor]], net: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.step, self.net, self.optimizer = step, net, optimizer

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, torch.Tensor]:
        optimizer: Any = self.optimizers()
        return self.step(batch, backward=self.manual_backward, update=optimizer.step)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer


class CallbackHooks(pl.Callback):
    def __init__(self, callback: ResumableCallback[Any]) -> None:
        self.callback = callback

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.callback.begin()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.callback.before_step()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.callback.after_step(outputs)
        trainer.should_stop = trainer.should_stop or self.callback.should_stop

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.callback.end()


def trainer_for(
    machine: Machine,
    callbacks: Sequence[ResumableCallback[Any]] = (),
    *,
    devices: int = 1,
    strategy: str = "auto",
    deterministic: bool = True,
    sync_batch_norm: bool = False,
) -> pl.Trainer:
    """Return a Trainer that makes one pass over its batches, with the callbacks around each step, and writes nothing.

    deterministic: use kernels that give the same bytes every time.
    """
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    for text in UNWANTED:
        warnings.filterwarnings("ignore", f".*{text}.*")
    torch_deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs time
    return pl.Trainer(
        accelerator=machine.accelerator,
        devices=devices,
        strategy=strategy,
        plugins=[LightningEnvironment()] if devices > 1 else None,  # also in a job of Slurm, which is one task
        max_epochs=1,
        callbacks=[CallbackHooks(callback) for callback in callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        sync_batchnorm=sync_batch_norm,
        use_distributed_sampler=False,  # batches are shared row by row
        deterministic=deterministic,
        benchmark=not deterministic,
        inference_mode=False,
    )
