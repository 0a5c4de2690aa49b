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
    """Compute the gradients of a batch's loss and, after the last batch of an update, change the weights.

    backward: computes gradients. update: the optimizer's step. Returns the loss of the labels (), the logits (B, K) and
    the inputs. With a shard, the inputs are its own, and the loss and the logits are those of the whole batch.
    """
    inputs, labels = batch
    classifier, run, phase_settings = phase.classifier, phase.run, phase.scheduled.phase
    shard = phase.shard
    teachers, targets = phase.distillation, None
    precision: AbstractContextManager[Any] = nullcontext()
    if run.settings.precision == "bf16":
        precision = torch.autocast(classifier.device.type, torch.bfloat16)

    # Forward: the net and its loss, on mixed images where the phase mixes. Teachers see what the student sees.
    with precision:
        if phase.mix is None:
            if shard is not None:
                shard.reseed()
            logits = classifier(inputs)
            targets = None if teachers is None else teachers.of_pixels(inputs)
        else:
            mixed, labels = phase.mix(classifier.normalised(inputs), labels)
            if shard is not None:
                mixed, inputs = (each[shard.rows(len(each))] for each in (mixed, inputs))
                shard.reseed()
            logits = classifier.trained(mixed)
            targets = None if teachers is None else teachers.of_mixed(mixed, mean=classifier.mean, std=classifier.std)
    logits = logits.float() if shard is None else shard.gathered(logits.float())  # (B, K)
    smoothing, gamma = phase_settings.label_smoothing, phase_settings.gamma
    loss = run.objective.loss(logits, labels, weights=phase.class_weights, smoothing=smoothing, gamma=gamma)
    outputs = {"loss": loss.detach(), "logits": logits.detach(), "inputs": inputs}
    if teachers is not None and targets is not None:
        loss = teachers.loss(logits, targets, loss)

    # Backward: gradients add up over the batches of an update.
    num_batches = phase.update_sizes[state.step - phase.scheduled.first]
    if shard is not None:
        loss = loss * shard.number  # as each has the gradients of its own rows, and Lightning takes their mean
    backward(loss / num_batches if num_batches > 1 else loss)
    phase.num_pending += 1
    if phase.num_pending != num_batches:
        return outputs

    # Update: clip the gradients, and take the optimizer's step.
    if phase_settings.clip_norm:
        torch.nn.utils.clip_grad_norm_(phase.parameters, phase_settings.clip_norm)
    elif phase_settings.clip_value:
        torch.nn.utils.clip_grad_value_(phase.parameters, phase_settings.clip_value)
    state.lr = float(phase.optimizer.param_groups[0]["lr"])
    update()
    phase.optimizer.zero_grad()

    # The moving average follows the weights, and the schedule moves on by as many steps as the update took.
    if classifier.averaged is not None and run.settings.ema_decay:
        classifier.averaged.update_parameters(classifier.net)
    for _ in range(phase.num_pending):
        phase.schedule.step()
    phase.num_pending = 0
    swa.start_if_due(phase, step=state.step + 1)
    return outputs
