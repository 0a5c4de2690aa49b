"""What goes on beside the steps of any training: their seeds, the progress bar, the resume state."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from tqdm import tqdm

from touchstone.seeds import derive

REFRESH_STEPS = 20  # of the progress bar


class Resumable(Protocol):
    """A LightningModule that can say all it knows, and take it up again."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass
class Progress:
    """All there is to a training besides the module: plain values and tensors. step: steps done."""

    step: int = 0


class Steps(pl.Callback):
    """Counts and seeds the steps of a stream that Lightning runs through once.

    state_file: where the resume state lies, written every `save_seconds`: the interval does not change the bytes.
    """

    progress: Progress
    phase = 0  # of several, counted from 1; shown by the bar

    def __init__(self, *, seed: int, num_steps: int, state_file: Path, save_seconds: float, title: str) -> None:
        self.seed, self.num_steps = seed, num_steps
        self.state_file, self.save_seconds, self.title = state_file, save_seconds, title

    def after_step(self, module: Any, outputs: dict[str, torch.Tensor]) -> None:
        """What a kind of training does after a step; `progress.step` is its number."""
        raise NotImplementedError

    def restore(self, module: Resumable) -> None:
        """Go on where an earlier process was stopped, if one was."""
        if not self.state_file.exists():
            return
        state = torch.load(self.state_file, weights_only=True, map_location="cpu")
        module.restore(state["module"])
        self.progress = type(self.progress)(**state["progress"])
        print(f"{self.title}: resumed at step {self.progress.step} of {self.num_steps}")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved = time.monotonic()
        self.bar = tqdm(
            total=self.num_steps,
            initial=self.progress.step,
            desc=f"{self.title}, phase {self.phase}" if self.phase else self.title,
            unit="step",
            disable=None,
            mininterval=0.5,
        )

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        seed = derive(self.seed, "step", self.progress.step)  # draws after a resume are what they would have been
        if pl_module.device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # 100 times cheaper than torch.manual_seed
        else:
            torch.manual_seed(seed)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.progress.step += 1
        self.after_step(pl_module, outputs)
        if time.monotonic() - self.saved > self.save_seconds:
            self.save(pl_module)
        if self.progress.step % REFRESH_STEPS == 0 or self.progress.step == self.num_steps:
            self.bar.update(self.progress.step - self.bar.n)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.bar.close()

    def save(self, module: Resumable) -> None:
        """Write the resume state so that a kill at any moment leaves the old one or the new one."""
        new = self.state_file.with_suffix(".new")
        with open(new, "wb") as file:
            torch.save({"module": module.state(), "progress": vars(self.progress)}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.state_file)
        self.saved = time.monotonic()
