"""Stochastic weight averaging over the end of the last phase: Izmailov et al. 2018, arXiv 1803.05407."""

from collections.abc import Iterable
from typing import Any

from torch.optim.swa_utils import SWALR

from touchstone.models import averaging
from touchstone.training.optimizers import group_rates
from touchstone.training.setup import ScheduledPhase, TrainingRun
from touchstone.training.state import Batch, PhaseState


def first_step(run: TrainingRun, scheduled: ScheduledPhase) -> int | None:
    """Return the step from which a phase averages, or None if it does not."""
    share = run.settings.swa_share
    if not share or scheduled is not run.phases[-1]:
        return None
    return scheduled.stop - max(1, round(share * scheduled.num_steps))


def start_if_due(phase: PhaseState, *, step: int) -> None:
    """From the first step of averaging on, anneal the learning rate to swa_lr along half a cosine.

    With `layer_decay`, that is the rate of the first group, and the others keep their share of it.
    """
    if phase.is_averaging or phase.swa_start is None or step < phase.swa_start:
        return
    phase.is_averaging = True
    optimizer, settings = phase.optimizer, phase.run.settings
    for group in optimizer.param_groups:  # one_cycle's own momentum ends with it
        group |= {name: optimizer.defaults[name] for name in ("momentum", "betas") if name in group}
    anneal_steps = round(settings.swa_anneal_epochs * phase.run.steps_per_epoch)
    rates: Any = group_rates(optimizer, settings.swa_lr)  # torch takes a list, and declares a float
    phase.schedule = SWALR(optimizer, swa_lr=rates, anneal_epochs=max(1, anneal_steps), anneal_strategy="cos")


def end_epoch(phase: PhaseState, *, step: int) -> None:
    """Include the weights at an epoch's end in the mean."""
    averaged = phase.classifier.averaged
    if averaged is not None and phase.is_averaging and step != phase.swa_start:
        averaged.update_parameters(phase.classifier.net)


def conclude(phase: PhaseState, batches: Iterable[Batch]) -> None:
    """After the last step, judge the mean instead of the net, with batch-norm statistics computed over the batches."""
    classifier = phase.classifier
    if classifier.averaged is None or classifier.judges_average:
        return
    classifier.averaged.update_parameters(classifier.net)
    averaging.copy_buffers(to=classifier.averaged.module, source=classifier.net)
    if phase.scheduled.phase.batch_norm == "train":
        pixels = (classifier.normalised(inputs.to(classifier.device)) for inputs, _ in batches)
        averaging.renew_statistics(classifier.averaged.module, pixels)
    classifier.judges_average = True
