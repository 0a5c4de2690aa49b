"""The work after each step of a classifier's training: checks for divergence, validation and selection."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from touchstone.data.training_set import TrainingSet
from touchstone.errors import TouchstoneError
from touchstone.training import swa
from touchstone.training.divergence import Divergence, DivergenceMonitor, advice
from touchstone.training.loggers import Log
from touchstone.training.phase import Validate, training_batches
from touchstone.training.resumable import OnStep, ResumableCallback
from touchstone.training.state import PhaseState, Row, TrainState

Prune = Callable[[list[Row]], bool]
"""Called with the history after each validation but the last; true ends the training."""


def ranking(row: Row, select: str) -> tuple[float, float]:
    """Return the key by which weights are ranked, the best highest: the selected measure, then the negative loss.

    Where `select` is val_loss or last, the loss alone decides.
    """
    score = -row["val_loss"]
    return (score if select in ("val_loss", "last") else row[select], score)


class TrainingCallback(ResumableCallback[TrainState]):
    """Accompanies one seed through one phase.

    data: the phase trains on it. validate: measures the classifier; None without validation images. prune: see `Prune`;
    None lets the training run to its end.
    """

    def __init__(
        self,
        phase: PhaseState,
        state: TrainState,
        *,
        seed: int,
        data: TrainingSet,
        validate: Validate | None,
        state_file: Path,
        logs: Sequence[Log] = (),
        on_step: OnStep | None = None,
        prune: Prune | None = None,
    ) -> None:
        run, number = phase.run, phase.run.phases.index(phase.scheduled) + 1
        self.name = f"{run.title} seed {seed}"
        super().__init__(
            state,
            seed=seed,
            num_steps=run.num_steps,
            state_file=state_file,
            save_seconds=run.machine.save_seconds,
            title=f"{self.name}, phase {number}" if len(run.phases) > 1 else self.name,
            on_step=on_step,
        )
        self.run, self.phase, self.data, self.validate, self.logs = run, phase, data, validate, logs
        self.prune = prune
        self.monitor = DivergenceMonitor(
            uniform_loss=run.objective.uniform_loss,
            collapse_text=run.objective.collapse_text,
            chance_loss=run.objective.chance_loss(phase.scheduled.phase),
            collapse_epochs=run.settings.collapse_epochs,
            steps_per_epoch=run.steps_per_epoch,
        )
        self.num_steps_taken = 0  # by this process, in this phase

    @property
    def device(self) -> torch.device:
        return self.phase.classifier.device

    def checkpoint(self) -> dict[str, Any]:
        return {"classifier": self.phase.classifier.checkpoint(), "phase": self.phase.checkpoint()}

    def can_save(self) -> bool:
        """Whether no update is pending; at the end of a phase a pending one is dropped."""
        return self.phase.num_pending == 0 or self.should_stop

    def save(self) -> None:
        if self.phase.shard is None or self.phase.shard.rank == 0:
            super().save()

    def record(self, outputs: dict[str, torch.Tensor]) -> None:
        """Check for divergence, average, validate and select, each at its steps."""
        state, run = self.state, self.run
        state.loss_sum += outputs["loss"]  # stays a tensor: the device is not waited for
        state.loss_count += 1
        self.num_steps_taken += 1
        is_eval, is_epoch_end = run.is_eval(state.step), run.is_epoch_end(state.step)
        if is_eval or is_epoch_end:
            self._check_losses(outputs["logits"] if is_epoch_end else None)
        if state.diverged is not None:
            return
        if state.step == self.num_steps:
            batches = training_batches(run, self.phase.scheduled, self.data, seed=self.seed, start=run.last_pass)
            swa.conclude(self.phase, batches)
        elif is_epoch_end:
            swa.end_epoch(self.phase, step=state.step)
        if is_eval:
            self._evaluate(outputs["inputs"])

    def _check_losses(self, logits: torch.Tensor | None) -> None:
        """Check the losses since the last check. logits: of the last batch (B, K), at the end of an epoch."""
        state, total, count = self.state, float(self.state.loss_sum), self.state.loss_count
        state.row_sum, state.row_count = state.row_sum + total, state.row_count + count
        state.epoch_sum, state.epoch_count = state.epoch_sum + total, state.epoch_count + count
        state.loss_sum.zero_()
        state.loss_count = 0
        epoch_loss = None
        if logits is not None:
            epoch_loss = state.epoch_sum / state.epoch_count
            predicted = self.run.objective.decided(logits)
            lowest = state.lowest_epoch_loss
            is_collapsed = self.monitor.is_collapsed(logits, predicted, loss=epoch_loss, lowest=lowest)
            state.collapsed_steps = state.collapsed_steps + state.epoch_count if is_collapsed else 0
            state.lowest_epoch_loss = min(lowest, epoch_loss)
            state.epoch_sum, state.epoch_count = 0.0, 0
        loss = total / count
        reason = self.monitor.check(loss=loss, epoch_loss=epoch_loss, collapsed_steps=state.collapsed_steps)
        if reason:
            self._diverge(loss, reason)

    def _evaluate(self, inputs: torch.Tensor) -> None:
        """Validate, add a row to the history, and keep the weights if they are the best. inputs: of the last batch."""
        state, phase, classifier = self.state, self.phase, self.phase.classifier
        if phase.shard is not None:
            phase.shard.share_buffers(classifier)
        row = self._row()
        if self.validate is not None:
            row |= self.validate()
            shown = row.get(self.run.settings.select, row["val_accuracy"])
            self.bar.set_postfix(
                {self.run.settings.select if self.run.settings.select in row else "val_accuracy": f"{shown:.3f}"}
                | {"train_loss": f"{row['train_loss']:.3f}"},
                refresh=False,
            )

        # The net that is judged must answer with finite numbers, on a batch of training images too.
        classifier.eval()
        with torch.no_grad():
            is_finite = bool(torch.isfinite(classifier(inputs)).all())
        if phase.shard is not None:
            is_finite = phase.shard.agreed(is_finite, self.device)
        classifier.train()
        if not is_finite or not math.isfinite(row.get("val_loss", 0.0)):
            self._diverge(row["train_loss"], "what the net answers is not finite")
            return

        state.finite, state.finite_step = classifier.judged_weights(), state.step
        if self.validate is not None:
            is_warm = state.step - phase.scheduled.first >= phase.warmup_steps
            if phase.plateau is not None and is_warm and not phase.is_averaging:
                phase.plateau.step(row["val_loss"])
            self._select(row)
        self._append(row)
        state.row_sum, state.row_count = 0.0, 0
        if self.prune is not None and state.step < self.num_steps and self.prune(state.history):
            state.step, self.should_stop = self.num_steps, True

    def _select(self, row: Row) -> None:
        """Keep the first of the best weights by the selected measure; a lower loss decides between equals.

        With `patience`, too many validations without a better one end the phase.
        """
        state, settings = self.state, self.run.settings
        if settings.select == "last":
            return
        scores = ranking(row, settings.select)
        state.num_unimproved += 1
        if state.best is None or scores > state.best_score:
            state.best, state.best_score, state.best_step = state.finite, scores, state.step
            state.num_unimproved = 0
        stop = self.phase.scheduled.stop
        if settings.patience and state.num_unimproved >= settings.patience and state.step < stop:
            print(
                f"\n{self.name}: {state.num_unimproved} validations without a better one: stopped early at step "
                f"{state.step}"
            )
            state.step, self.should_stop = stop, True

    def _diverge(self, loss: float, reason: str) -> None:
        """End the run. Raises TouchstoneError where `on_divergence` is fail."""
        state = self.state
        divergence = Divergence(
            step=state.step,
            epoch=state.step / self.run.steps_per_epoch,
            loss=loss,
            lr=state.lr,
            reason=reason,
            advice=advice(self.phase.scheduled.phase),
        )
        if self.run.settings.on_divergence == "fail":
            raise TouchstoneError(f"{self.name}: {divergence} (on_divergence is fail)")
        print(f"\n{self.name}: {divergence}", flush=True)
        self._append(self._row())
        state.diverged, self.should_stop = asdict(divergence), True

    def _row(self) -> Row:
        """The row of the history for the steps since the last one."""
        state = self.state
        epoch, loss = state.step / self.run.steps_per_epoch, state.row_sum / state.row_count
        return {"step": state.step, "epoch": epoch, "train_loss": loss, "lr": state.lr}

    def _append(self, row: Row) -> None:
        self.state.history.append(row)
        measured = {name: value for name, value in row.items() if name != "step"}
        for log in self.logs:
            log(int(row["step"]), measured)
