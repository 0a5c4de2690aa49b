"""What learns: a classifier with its optimizer, schedule and averaged weights. Both engines drive this very code.

A step is one batch; an update may be made from several. The learning rate is a function of the step.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from touchstone.config.model import Model
from touchstone.models import averaging
from touchstone.models.freezing import freeze
from touchstone.training import schedules
from touchstone.training.accumulation import blocks
from touchstone.training.classifier import Classifier
from touchstone.training.loss import mixing
from touchstone.training.objective import Objective
from touchstone.training.optimizers import optimizer
from touchstone.training.task import Span

State = dict[str, Any]
Batch = tuple[torch.Tensor, torch.Tensor]  # of the stream, see `loaders.Batches`
Backward = Callable[[torch.Tensor], Any]
Update = Callable[[], Any]


class Learner:
    """Trains a classifier, span by span, a batch at a time.

    objective: with the labels of the training images. num_classes: K. steps_per_epoch: batches a pass takes, maybe a
    fraction.
    again: batches of one pass over the training images, for the batch norms of averaged weights.
    """

    def __init__(
        self, classifier: Classifier, settings: Model, *, objective: Objective, num_classes: int, steps_per_epoch: float
    ) -> None:
        self.classifier, self.settings = classifier, settings
        self.objective, self.num_classes, self.steps_per_epoch = objective, num_classes, steps_per_epoch
        self.again: Callable[[], Iterable[torch.Tensor]] = tuple
        self.lr = 0.0  # of the last update
        self._resume: State | None = None
        if settings.ema_decay:
            classifier.averaged = averaging.averaged(classifier.net, decay=settings.ema_decay)
            classifier.judges_mean = True
        elif settings.swa_share:
            classifier.averaged = averaging.mean(classifier.net)

    @property
    def device(self) -> torch.device:
        return self.classifier.device

    @property
    def is_at_rest(self) -> bool:
        """Whether no gradients are pending: the moment to save a state."""
        return self._pending == 0

    def enter(self, span: Span, *, step: int, is_last: bool, device: str) -> None:
        """Train from now on, at `step`, as the span's phase says; optimizer and schedule start anew with the span.

        Raises TouchstoneError on a module that the net has not.
        """
        phase, self.span = span.phase, span
        self.classifier.to(device)
        freeze(self.classifier.net, phase, head=self.classifier.head)
        weights = self.objective.weights(phase)
        self.weights = None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device)
        self.mix = mixing(phase, self.num_classes)
        self.parameters = [p for p in self.classifier.net.parameters() if p.requires_grad]
        num_steps = span.stop - span.first
        size, count = self.settings.batch_size, len(self.objective.labels)
        self.blocks = blocks(phase, num_steps=num_steps, batch_size=size, num_images=count).tolist()
        self.sizes = _filled(self.blocks)
        self._pending, self.step = 0, step
        self.optimizer = optimizer(self.parameters, phase)
        self.warmup = schedules.warmup_steps(phase, num_steps=num_steps, steps_per_epoch=self.steps_per_epoch)
        self.schedule = schedules.schedule(
            self.optimizer, phase, num_steps=num_steps, steps_per_epoch=self.steps_per_epoch
        )
        self.plateau = schedules.plateau(self.optimizer, phase)
        share = self.settings.swa_share if is_last else 0.0
        self.swa_start = span.stop - max(1, round(share * num_steps)) if share else None
        self.averages = False
        self._maybe_average(step)
        if step > span.first and self._resume is not None:
            self._take_up(self._resume)
        self._resume = None  # one of the end of the span before says nothing of this one

    def learn(self, batch: Batch, *, backward: Backward, update: Update) -> dict[str, torch.Tensor]:
        """One step: loss and gradients and, where the batch ends a block, an update.

        backward: of the loss. update: the optimizer's step. Returns the loss and the logits (B, K).
        """
        place = self.step - self.span.first
        loss, logits = self._loss(batch)
        backward(loss / self.sizes[place] if self.sizes[place] > 1 else loss)
        self._pending += 1
        if self.blocks[place]:
            self._update(update)
        self.step += 1
        self._last = batch[0]
        return {"loss": loss.detach(), "logits": logits.detach()}

    def is_sound(self) -> bool:
        """Whether what is judged answers the last batch with finite numbers."""
        self.classifier.eval()
        with torch.no_grad():
            finite = bool(torch.isfinite(self.classifier(self._last)).all())
        self.classifier.train()
        return finite

    def after_validation(self, loss: float) -> None:
        """What the schedule makes of a validation."""
        is_warm = self.step - self.span.first >= self.warmup
        if self.plateau is not None and is_warm and not self.averages:
            self.plateau.step(loss)

    def end_epoch(self) -> None:
        """At the end of an epoch: the mean takes in the weights, where it is their time."""
        if self.averages and self.swa_start != self.step and self.classifier.averaged is not None:
            self.classifier.averaged.update_parameters(self.classifier.net)

    def conclude(self) -> None:
        """After the last step: the mean of the weights becomes what is judged, with batch norms of its own."""
        mean = self.classifier.averaged
        if mean is None or self.classifier.judges_mean:
            return
        mean.update_parameters(self.classifier.net)
        averaging.take_buffers(mean.module, self.classifier.net)
        if self.span.phase.batch_norm == "train":
            batches = (self.classifier.normalised(batch.to(self.device)) for batch in self.again())
            averaging.renew_statistics(mean.module, batches)
        self.classifier.judges_mean = True

    def state(self) -> State:
        """All that is needed to go on, as plain values and tensors."""
        c, parts = self.classifier, (self.optimizer, self.schedule, self.plateau)
        return {
            "net": c.net.state_dict(),
            "averaged": None if c.averaged is None else c.averaged.state_dict(),
            "judges_mean": c.judges_mean,
            "parts": [None if part is None else part.state_dict() for part in parts],
            "lr": self.lr,
        }

    def restore(self, state: State) -> None:
        """Take up `state()`: the nets at once, optimizer and schedules when they are made."""
        self.classifier.net.load_state_dict(state["net"])
        if self.classifier.averaged is not None:
            self.classifier.averaged.load_state_dict(state["averaged"])
        self.classifier.judges_mean = state["judges_mean"]
        self.lr = state["lr"]
        self._resume = state

    def _loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, labels = batch
        with self._autocast():
            if self.mix is None:
                logits = self.classifier(inputs)
            else:
                mixed, labels = self.mix(self.classifier.normalised(inputs), labels)
                logits = self.classifier.net(mixed)
        logits = logits.float()
        smoothing = self.span.phase.label_smoothing
        return self.objective.loss(logits, labels, weights=self.weights, smoothing=smoothing), logits

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.settings.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _update(self, update: Update) -> None:
        phase = self.span.phase
        if phase.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters, phase.clip_norm)
        elif phase.clip_value:
            torch.nn.utils.clip_grad_value_(self.parameters, phase.clip_value)
        self.lr = float(self.optimizer.param_groups[0]["lr"])
        update()
        self.optimizer.zero_grad()
        averaged = self.classifier.averaged
        if averaged is not None and self.settings.ema_decay:
            averaged.update_parameters(self.classifier.net)
        for _ in range(self._pending):
            self.schedule.step()
        self._pending = 0
        self._maybe_average(self.step + 1)

    def _maybe_average(self, step: int) -> None:
        """From its start on stochastic weight averaging has a schedule of its own."""
        if self.averages or self.swa_start is None or step < self.swa_start:
            return
        self.averages = True
        for group in self.optimizer.param_groups:  # that of a cycle ends with it
            group |= {name: self.optimizer.defaults[name] for name in ("momentum", "betas") if name in group}
        steps = round(self.settings.swa_anneal_epochs * self.steps_per_epoch)
        self.schedule = schedules.averaging(self.optimizer, lr=self.settings.swa_lr, anneal_steps=steps)

    def _take_up(self, state: State) -> None:
        for part, known in zip((self.optimizer, self.schedule, self.plateau), state["parts"], strict=True):
            if part is not None:
                part.load_state_dict(known)


def _filled(blocks: list[int]) -> list[int]:
    """The size of each step's block, of what `blocks` says at their last steps."""
    sizes, size = list(blocks), 0
    for i in reversed(range(len(sizes))):
        sizes[i] = size = sizes[i] or size
    return sizes
