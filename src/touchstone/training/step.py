"""One step of training, called by both engines: forward, loss, backward and, where one is due, an update."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from touchstone.training import swa
from touchstone.training.state import Batch, PhaseState, TrainState


def train_step(
    phase: PhaseState,
    state: TrainState,
    batch: Batch,
    *,
    backward: Callable[[torch.Tensor], Any],
    update: Callable[[], Any],
) -> dict[str, torch.Tensor]:
    """Compute the gradients of a batch's loss and, where it is the last of an update's batches, make the update.

    backward: computes gradients. update: the optimizer's step. Returns the loss (), the logits (B, K) and the inputs.
    """
    inputs, labels = batch
    objective, smoothing = phase.run.objective, phase.scheduled.phase.label_smoothing

    # Forward: the net and its loss, on mixed images where the phase mixes.
    with _autocast(phase):
        if phase.mix is None:
            logits = phase.classifier(inputs)
        else:
            mixed, labels = phase.mix(phase.classifier.normalised(inputs), labels)
            logits = phase.classifier.net(mixed)
    logits = logits.float()  # (B, K)
    loss = objective.loss(logits, labels, weights=phase.class_weights, smoothing=smoothing)

    # Backward: gradients add up over the batches of an update.
    num_batches = phase.update_sizes[state.step - phase.scheduled.first]
    backward(loss / num_batches if num_batches > 1 else loss)
    phase.num_pending += 1

    if phase.num_pending == num_batches:
        _update(phase, state, update)
    return {"loss": loss.detach(), "logits": logits.detach(), "inputs": inputs}


def _update(phase: PhaseState, state: TrainState, update: Callable[[], Any]) -> None:
    """Clip the gradients, take the optimizer's step, follow it with the moving average, and move the schedule on."""
    clip = phase.scheduled.phase
    if clip.clip_norm:
        torch.nn.utils.clip_grad_norm_(phase.parameters, clip.clip_norm)
    elif clip.clip_value:
        torch.nn.utils.clip_grad_value_(phase.parameters, clip.clip_value)

    state.lr = float(phase.optimizer.param_groups[0]["lr"])
    update()
    phase.optimizer.zero_grad()

    averaged = phase.classifier.averaged
    if averaged is not None and phase.run.settings.ema_decay:
        averaged.update_parameters(phase.classifier.net)

    for _ in range(phase.num_pending):  # the learning rate is a function of the step, not of the update
        phase.schedule.step()
    phase.num_pending = 0
    swa.start_if_due(phase, step=state.step + 1)


def _autocast(phase: PhaseState) -> AbstractContextManager[Any]:
    if phase.run.settings.precision == "fp32":
        return nullcontext()
    return torch.autocast(phase.classifier.device.type, torch.bfloat16)
