"""The training of one seed, from building the net to selecting the weights."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from touchstone.models.device import make_deterministic
from touchstone.training import loggers
from touchstone.training.callback import Prune, TrainingCallback
from touchstone.training.classifier import Weights, build_classifier
from touchstone.training.distillation import distillation
from touchstone.training.divergence import Divergence
from touchstone.training.phase import begin_phase, training_batches, training_data, validator
from touchstone.training.resumable import OnStep, read_checkpoint
from touchstone.training.setup import TrainingRun
from touchstone.training.shard import Shard
from touchstone.training.state import Row, TrainState
from touchstone.training.step import train_step


@dataclass(frozen=True)
class Trained:
    """The result of one seed."""

    seed: int
    weights: Weights  # the selected ones; where training diverged, the last finite ones
    selected_step: int
    history: list[Row]  # one for each validation
    images_per_second: float  # 0 for a seed that was trained before
    diverged: Divergence | None = None


def train_seed(
    run: TrainingRun,
    *,
    seed: int,
    state_file: Path,
    on_step: OnStep | None = None,
    prune: Prune | None = None,
    shard: Shard | None = None,
) -> Trained:
    """Train one seed from its initial weights or, where an earlier process was stopped, from `state_file`.

    on_step: called after each step. prune: see `callback.Prune`. shard: the part of each batch that this process
    computes, while others train with it; None for all of it. Raises TouchstoneError where a phase names a module
    that the net lacks, where the initial weights do not fit the net, and where training diverges while `on_divergence`
    is fail.
    """
    settings = run.settings
    make_deterministic(settings.deterministic)

    # Build the net with the seed's initial weights, and resume where an earlier process was stopped.
    classifier, teachers = build_classifier(run, seed), distillation(run, seed)
    state = TrainState(finite=classifier.judged_weights())
    checkpoint = read_checkpoint(state_file) or {}
    if checkpoint:
        classifier.restore(checkpoint["classifier"])
        state = TrainState(**checkpoint["state"])
        print(f"{run.title} seed {seed}: resumed at step {state.step} of {run.num_steps}")

    if shard is not None and settings.sync_batch_norm:
        shard.check_norms(classifier.net, title=run.title)

    num_steps, began = 0, time.perf_counter()
    shown = settings.model_dump(mode="json")
    wanted = run.machine.loggers if shard is None or shard.rank == 0 else ()
    with loggers.opened(wanted, run=run.title, seed=seed, settings=shown, start=state.step) as logs:
        for scheduled in run.phases:  # scheduled.phase is settings.phases[0], settings.phases[1], ...
            if state.step >= scheduled.stop or state.diverged is not None:
                continue

            # Begin the phase: freeze modules, and make its optimizer, whose learning rate is scheduled.phase.lr, and
            # its schedule. It trains on images, or on the cached features of a frozen backbone.
            restored = checkpoint.get("phase")
            given: Any = {"distillation": teachers, "checkpoint": restored, "shard": shard}
            phase = begin_phase(run, scheduled, classifier, state, **given)
            data, validate = training_data(phase), validator(phase)
            batches = training_batches(run, scheduled, data, seed=seed, start=state.step, shard=shard)
            more: Any = {"state_file": state_file, "logs": logs, "on_step": on_step, "prune": prune}
            callback = TrainingCallback(phase, state, seed=seed, data=data, validate=validate, **more)
            step = partial(train_step, phase, state)  # forward, loss, backward and, where one is due, an update
            classifier.train()

            # Train. Lightning makes the same calls as the plain loop below it.
            if settings.engine == "lightning":
                from touchstone.training import lightning  # here: it takes seconds to import

                how: Any = {"deterministic": settings.deterministic}
                if shard is not None:
                    how |= {"devices": shard.number, "strategy": lightning.SEVERAL}
                    how |= {"sync_batch_norm": settings.sync_batch_norm}
                trainer = lightning.trainer_for(run.machine, [callback], **how)
                trainer.fit(lightning.StepModule(step, classifier.net, phase.optimizer), batches)
            else:
                device = classifier.device
                callback.begin()
                for inputs, labels in batches:
                    callback.before_step()  # seeds torch's generator
                    batch = inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)
                    outputs = step(batch, backward=torch.Tensor.backward, update=phase.optimizer.step)
                    callback.after_step(outputs)  # checks for divergence, averages, validates, selects, saves
                    if callback.should_stop:
                        break
                callback.end()
            num_steps += callback.num_steps_taken

    # Select the weights: the last finite ones where training diverged, else the best on validation images, or the last.
    if state.diverged is not None:
        weights, selected_step = state.finite, state.finite_step
    elif state.best is not None:
        weights, selected_step = state.best, state.best_step
    else:
        weights, selected_step = classifier.judged_weights(), run.num_steps
    print(
        loggers.ended(
            *(run.title, seed, settings.seeds, state.history),
            num_steps=run.num_steps,
            kept=selected_step,
            diverged=None if state.diverged is None else state.step,
            seconds=time.perf_counter() - began,
        ),
        flush=True,
    )
    return Trained(
        seed=seed,
        weights=weights,
        selected_step=selected_step,
        history=state.history,
        images_per_second=num_steps * settings.batch_size / (time.perf_counter() - began),
        diverged=None if state.diverged is None else Divergence(**state.diverged),  # type: ignore[arg-type]
    )
