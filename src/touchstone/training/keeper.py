"""What is kept of a classifier's training: its history, the best weights, the last finite ones; and when it ends."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from touchstone.errors import TouchstoneError
from touchstone.training import steps
from touchstone.training.classifier import Classifier
from touchstone.training.divergence import Divergence, Watch, advice
from touchstone.training.learner import Learner
from touchstone.training.task import Span, Task

Weights = dict[str, torch.Tensor]
Row = dict[str, float]


@dataclass
class Progress(steps.Progress):
    """All there is to a run besides net and optimizer.

    best: a copy of the selected weights so far and its (score, negative loss); unimproved: validations of the phase
    since then. finite: the weights of the last validation at which training was sound. history: a row a validation.
    loss_sum, loss_count: of the steps since the last look; row_*: of the looks since the last row; epoch_*: of those of
    the epoch; lowest: the lowest loss of an epoch. collapsed_steps: see `Watch.look`. diverged: how training ended
    before its time.
    """

    best: Weights | None = None
    best_score: tuple[float, float] = (float("-inf"), float("-inf"))
    best_step: int = 0
    unimproved: int = 0
    finite: Weights = field(default_factory=dict)
    finite_step: int = 0
    history: list[Row] = field(default_factory=list)
    loss_sum: torch.Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    loss_count: int = 0
    row_sum: float = 0.0
    row_count: int = 0
    epoch_sum: float = 0.0
    epoch_count: int = 0
    lowest: float = float("inf")
    collapsed_steps: int = 0
    diverged: dict[str, int | float | str] | None = None


class Keeper(steps.Steps):
    """Keeps one seed's progress.

    validate: of a span, classifier -> its measures, where there are validation images. log: takes step and row.
    """

    progress: Progress
    span: Span
    watch: Watch
    validate: Callable[[Classifier], Row] | None = None

    def __init__(
        self, task: Task, *, seed: int, state_file: Path, loggers: Sequence[Callable[[int, Row], None]] = ()
    ) -> None:
        super().__init__(
            seed=seed,
            num_steps=task.num_steps,
            state_file=state_file,
            save_seconds=task.machine.save_seconds,
            title=f"{task.title} seed {seed}",
        )
        self.task, self.loggers = task, loggers
        self.steps_here = 0  # of this process
        self.progress = Progress()

    def enter(self, span: Span, validate: Callable[[Classifier], Row] | None) -> None:
        """Watch over a span from now on."""
        self.span, self.validate, self.is_over = span, validate, False
        self.watch = self.task.watch(span)
        self.phase = self.task.spans.index(span) + 1 if len(self.task.spans) > 1 else 0
        p = self.progress
        if p.step == span.first:
            p.unimproved = p.collapsed_steps = p.epoch_count = 0
            p.epoch_sum, p.lowest = 0.0, float("inf")

    def begin(self, trainee: Learner) -> None:  # type: ignore[override]
        super().begin(trainee)
        p = self.progress
        kind = torch.float32 if trainee.device.type == "mps" else torch.float64  # MPS has no float64
        p.loss_sum = p.loss_sum.to(trainee.device, kind)
        if not p.finite:
            p.finite, p.finite_step = snapshot(trainee.classifier.judged), p.step

    def is_at_rest(self, trainee: Learner) -> bool:
        return trainee.is_at_rest or self.is_over

    def after_step(self, trainee: Learner, outputs: dict[str, torch.Tensor]) -> None:
        p = self.progress
        p.loss_sum += outputs["loss"]  # stays a tensor: no wait for the device
        p.loss_count += 1
        self.steps_here += 1
        is_eval, is_epoch = self.task.is_eval(p.step), self.task.is_epoch_end(p.step)
        if is_eval or is_epoch:
            self._look(trainee, outputs["logits"] if is_epoch else None)
        if p.diverged is not None:
            return
        if p.step == self.num_steps:
            trainee.conclude()
        elif is_epoch:
            trainee.end_epoch()
        if is_eval:
            self._record(trainee)

    def _look(self, learner: Learner, logits: torch.Tensor | None) -> None:
        """Judge the steps since the last look. logits: of the last batch (B, K), at the end of an epoch."""
        p, total = self.progress, float(self.progress.loss_sum)
        loss = total / p.loss_count
        p.row_sum, p.row_count = p.row_sum + total, p.row_count + p.loss_count
        p.epoch_sum, p.epoch_count = p.epoch_sum + total, p.epoch_count + p.loss_count
        p.loss_sum.zero_()
        p.loss_count = 0
        of_epoch = None
        if logits is not None:
            of_epoch = p.epoch_sum / p.epoch_count
            deaf = self.watch.is_deaf(loss=of_epoch, lowest=p.lowest, **self._answers(logits))
            p.collapsed_steps = p.collapsed_steps + p.epoch_count if deaf else 0
            p.lowest = min(p.lowest, of_epoch)
            p.epoch_sum, p.epoch_count = 0.0, 0
        reason = self.watch.look(loss=loss, epoch_loss=of_epoch, collapsed_steps=p.collapsed_steps)
        if reason:
            self._diverge(learner, loss, reason)

    def _answers(self, logits: torch.Tensor) -> dict[str, Any]:
        """What `Watch.is_deaf` is told of a batch's logits (B, K)."""
        predicted = self.task.objective.decided(logits)
        apart, largest = (logits.amax(0) - logits.amin(0)).amax(), logits.abs().amax().clamp(min=1e-30)
        return {
            "varied": bool((predicted != predicted[0]).any()),
            "spread": float(apart / largest),
            "batch_size": len(logits),
        }

    def _diverge(self, learner: Learner, loss: float, reason: str) -> None:
        """End the run with the weights of the last validation at which it was sound, or with its first ones.

        Raises TouchstoneError where `on_divergence` is fail.
        """
        p, phase = self.progress, self.span.phase
        clips, warms = bool(phase.clip_norm or phase.clip_value), bool(phase.warmup_epochs)
        found = Divergence(
            step=p.step,
            epoch=p.step / self.task.steps_per_epoch,
            loss=loss,
            lr=learner.lr,
            reason=reason,
            advice=advice(phase.rate, clips=clips, warms_up=warms or phase.schedule == "one_cycle"),
        )
        if self.task.settings.on_divergence == "fail":
            raise TouchstoneError(f"{self.title}: {found} (on_divergence is fail)")
        print(f"\n{self.title}: {found}", flush=True)
        self._append({"step": p.step, "epoch": found.epoch, "train_loss": p.row_sum / p.row_count, "lr": learner.lr})
        p.diverged, self.is_over = asdict(found), True

    def _record(self, learner: Learner) -> None:
        p = self.progress
        loss = p.row_sum / p.row_count
        row = {"step": p.step, "epoch": p.step / self.task.steps_per_epoch, "train_loss": loss, "lr": learner.lr}
        if self.validate is not None:
            row |= self.validate(learner.classifier)
            shown = row.get(self.task.settings.select, row["val_accuracy"])
            self.bar.set_postfix(loss=f"{loss:.3f}", val=f"{shown:.3f}", refresh=False)
        if not learner.is_sound() or not math.isfinite(row.get("val_loss", 0.0)):
            self._diverge(learner, loss, "what the net answers is not finite")
            return
        p.finite, p.finite_step = snapshot(learner.classifier.judged), p.step
        if self.validate is not None:
            learner.after_validation(row["val_loss"])
            self._keep_best(row)
        self._append(row)
        p.row_sum, p.row_count = 0.0, 0

    def _append(self, row: Row) -> None:
        self.progress.history.append(row)
        for log in self.loggers:
            log(int(row["step"]), row)

    def _keep_best(self, row: Row) -> None:
        """The first of the best by the selected measure; equal ones are decided by the lower loss.

        With `patience`, too many validations without a better one end the phase.
        """
        p, settings, loss = self.progress, self.task.settings, -row["val_loss"]
        if settings.select == "last":
            return
        score = (loss if settings.select == "val_loss" else row[settings.select], loss)
        p.unimproved += 1
        if p.best is None or score > p.best_score:
            p.best, p.best_score, p.best_step, p.unimproved = p.finite, score, p.step, 0
        if settings.patience and p.unimproved >= settings.patience and p.step < self.span.stop:
            print(f"\n{self.title}: {p.unimproved} validations without a better one: stopped early at step {p.step}")
            p.step, self.is_over = self.span.stop, True


def snapshot(net: torch.nn.Module) -> Weights:
    """A copy of the weights, contiguous and on the CPU."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in net.state_dict().items()}
