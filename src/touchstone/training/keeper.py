"""What goes on beside the steps of training: dropout's seeds, validation, the best weights, the resume state."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from tqdm import tqdm

from touchstone.errors import TouchstoneError
from touchstone.seeds import derive
from touchstone.training.classifier import Classifier

REFRESH_STEPS = 20  # of the progress bar

Weights = dict[str, torch.Tensor]


@dataclass
class Progress:
    """All there is to a run besides net and optimizer.

    step: steps done. best: a copy of the selected weights so far and its (score, negative loss); history: a row a
    validation. loss_sum: of the steps since the last row.
    """

    step: int = 0
    best: Weights | None = None
    best_score: tuple[float, float] = (float("-inf"), float("-inf"))
    best_step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    loss_sum: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    loss_count: int = 0


class Keeper(pl.Callback):
    """Keeps one seed's progress.

    validate: the classifier -> (loss, accuracy) on the validation split, or None where there is none.
    is_eval: step -> whether to validate after it. state_file: where the resume state
    lies, written every `save_seconds`: the interval does not change the bytes.
    """

    def __init__(
        self,
        *,
        seed: int,
        select: str,
        num_steps: int,
        steps_per_epoch: float,
        is_eval: Callable[[int], bool],
        validate: Callable[[Classifier], tuple[float, float]] | None,
        state_file: Path,
        save_seconds: float,
        title: str,
    ) -> None:
        self.seed, self.select, self.num_steps = seed, select, num_steps
        self.steps_per_epoch, self.is_eval, self.validate = steps_per_epoch, is_eval, validate
        self.state_file, self.save_seconds, self.title = state_file, save_seconds, title
        self.progress = Progress()

    def restore(self, classifier: Classifier) -> None:
        """Go on where an earlier process was stopped, if one was."""
        if not self.state_file.exists():
            return
        state = torch.load(self.state_file, weights_only=True, map_location="cpu")
        classifier.restore(state["classifier"])
        self.progress = Progress(**state["progress"])
        print(f"{self.title}: resumed at step {self.progress.step} of {self.num_steps}")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        p = self.progress
        kind = torch.float32 if pl_module.device.type == "mps" else torch.float64  # MPS has no float64
        p.loss_sum = p.loss_sum.to(pl_module.device, kind)
        self.saved = time.monotonic()
        self.bar = tqdm(
            total=self.num_steps, initial=p.step, desc=self.title, unit="step", disable=None, mininterval=0.5
        )

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        seed = derive(self.seed, "step", self.progress.step)  # dropout after a resume is what it would have been
        if pl_module.device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # 100 times cheaper than torch.manual_seed
        else:
            torch.manual_seed(seed)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        p = self.progress
        p.step += 1
        p.loss_sum += outputs["loss"].detach()  # stays a tensor: no wait for the device
        p.loss_count += 1
        if self.is_eval(p.step):
            self._record(pl_module)
        if time.monotonic() - self.saved > self.save_seconds:
            self.save(pl_module)
        if p.step % REFRESH_STEPS == 0 or p.step == self.num_steps:
            self.bar.update(p.step - self.bar.n)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.bar.close()

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
            p.best, p.best_score, p.best_step = snapshot(classifier.net), score, p.step

    def save(self, classifier: Classifier) -> None:
        """Write the resume state so that a kill at any moment leaves the old one or the new one."""
        new = self.state_file.with_suffix(".new")
        with open(new, "wb") as file:
            torch.save({"classifier": classifier.state(), "progress": vars(self.progress)}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.state_file)
        self.saved = time.monotonic()


def snapshot(net: torch.nn.Module) -> Weights:
    """A copy of the weights, contiguous and on the CPU."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in net.state_dict().items()}
