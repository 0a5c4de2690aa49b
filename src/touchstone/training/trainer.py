"""Lightning at its leanest."""

import logging
import warnings
from collections.abc import Sequence

import pytorch_lightning as pl
from torch.utils import deterministic

from touchstone.sections import Machine

UNWANTED = (
    "does not have many workers",
    "have no `val_dataloader`",
    "LeafSpec",
    "in eval mode at the start of training",
    "predict returned None",
)


def lean(machine: Machine, callbacks: Sequence[pl.Callback], *, devices: int = 1, strategy: str = "auto") -> pl.Trainer:
    """One pass over what is left of a stream; nothing logged a step, no checkpoint of Lightning's own."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for text in UNWANTED:
        warnings.filterwarnings("ignore", f".*{text}.*")
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs time
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
        deterministic=True,
        inference_mode=False,
    )
