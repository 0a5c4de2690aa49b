"""Learning-rate schedules, each torch's own, and the batches that make an update. A step is a batch."""

import numpy as np
import torch
from torch.optim import lr_scheduler as lrs

from touchstone.config.schema.model import Phase

Schedule = lrs.LRScheduler
Plateau = lrs.ReduceLROnPlateau


def schedule(optimizer: torch.optim.Optimizer, phase: Phase, *, num_steps: int, steps_per_epoch: float) -> Schedule:
    """Return the phase's schedule over `num_steps` steps, after a linear warm-up where it has one.

    one_cycle: Smith & Topin 2017, arXiv 1708.07120; it cycles momentum, too, where the optimizer has one. cosine:
    Loshchilov & Hutter 2016, arXiv 1608.03983, without restarts. Warm-up: Goyal et al. 2017, arXiv 1706.02677. plateau
    is constant here; `plateau` below lowers it.
    """
    warmup = warmup_steps(phase, num_steps=num_steps, steps_per_epoch=steps_per_epoch)
    main = _main(optimizer, phase, num_steps - warmup, steps_per_epoch)
    if not warmup:
        return main
    rising = lrs.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    return lrs.SequentialLR(optimizer, [rising, main], milestones=[warmup])


def warmup_steps(phase: Phase, *, num_steps: int, steps_per_epoch: float) -> int:
    """The number of steps over which the learning rate rises, 0 or at least 2; a step is left for the schedule."""
    steps = min(round(phase.warmup_epochs * steps_per_epoch), num_steps - 1)
    return steps if steps > 1 else 0


def _main(optimizer: torch.optim.Optimizer, phase: Phase, num_steps: int, steps_per_epoch: float) -> Schedule:
    if phase.schedule == "one_cycle":
        cycles = "betas" in optimizer.defaults or (optimizer.defaults.get("momentum", 0) > 0)
        return lrs.OneCycleLR(optimizer, max_lr=phase.rate, total_steps=max(2, num_steps), cycle_momentum=cycles)
    if phase.schedule == "cosine":
        return lrs.CosineAnnealingLR(optimizer, T_max=num_steps)
    if phase.schedule == "step":
        step_size = max(1, round(phase.decay_epochs * steps_per_epoch))
        return lrs.StepLR(optimizer, step_size=step_size, gamma=phase.decay)
    return lrs.ConstantLR(optimizer, factor=1.0, total_iters=1)


def plateau(optimizer: torch.optim.Optimizer, phase: Phase) -> Plateau | None:
    """Return what lowers the learning rate after `plateau_patience` validations without a lower loss, or None."""
    if phase.schedule != "plateau":
        return None
    return Plateau(optimizer, factor=phase.decay, patience=phase.plateau_patience, threshold=0.0)


def swa_schedule(optimizer: torch.optim.Optimizer, *, lr: float, anneal_steps: int) -> Schedule:
    """Return the schedule of stochastic weight averaging: half a cosine from the present learning rate to `lr`."""
    return torch.optim.swa_utils.SWALR(optimizer, swa_lr=lr, anneal_epochs=max(1, anneal_steps), anneal_strategy="cos")


def update_sizes(phase: Phase, *, num_steps: int, batch_size: int, num_images: int) -> np.ndarray:
    """Return int64 (num_steps,): for each step, the number of batches in the update that it contributes to.

    An update takes as many batches as the epoch in which it starts says; the phase's last one may take fewer.
    """
    sizes = np.zeros(num_steps, np.int64)
    start = 0
    while start < num_steps:
        stop = min(start + phase.batches_an_update(start * batch_size // num_images), num_steps)
        sizes[start:stop] = stop - start
        start = stop
    return sizes
