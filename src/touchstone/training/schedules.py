"""Learning-rate schedules, each torch's own, and the batches that make an update. A step is a batch."""

import torch
from torch.optim import lr_scheduler as lrs

from touchstone.config.schema.model import Phase

Schedule = lrs.LRScheduler
Plateau = lrs.ReduceLROnPlateau


def schedule(optimizer: torch.optim.Optimizer, phase: Phase, *, num_steps: int, steps_per_epoch: float) -> Schedule:
    """Return the phase's schedule over `num_steps` steps, after a linear warm-up where it has one.

    one_cycle: Smith & Topin 2017, arXiv 1708.07120; it also cycles the momentum of optimizers that have one. cosine:
    Loshchilov & Hutter 2016, arXiv 1608.03983, without restarts. Warm-up: Goyal et al. 2017, arXiv 1706.02677. plateau
    is constant here, and lowered by `Plateau`.
    """
    warmup = warmup_steps(phase, num_steps=num_steps, steps_per_epoch=steps_per_epoch)
    main: Schedule
    if phase.schedule == "one_cycle":
        cycles = "betas" in optimizer.defaults or optimizer.defaults.get("momentum", 0) > 0
        total = max(2, num_steps - warmup)
        main = lrs.OneCycleLR(optimizer, max_lr=phase.rate, total_steps=total, cycle_momentum=cycles)
    elif phase.schedule == "cosine":
        main = lrs.CosineAnnealingLR(optimizer, T_max=num_steps - warmup)
    elif phase.schedule == "step":
        step_size = max(1, round(phase.decay_epochs * steps_per_epoch))
        main = lrs.StepLR(optimizer, step_size=step_size, gamma=phase.decay)
    else:
        main = lrs.ConstantLR(optimizer, factor=1.0, total_iters=1)
    if not warmup:
        return main
    rising = lrs.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    return lrs.SequentialLR(optimizer, [rising, main], milestones=[warmup])


def warmup_steps(phase: Phase, *, num_steps: int, steps_per_epoch: float) -> int:
    """The number of steps over which the learning rate rises, 0 or at least 2; it leaves a step for the schedule."""
    steps = min(round(phase.warmup_epochs * steps_per_epoch), num_steps - 1)
    return steps if steps > 1 else 0


def update_sizes(phase: Phase, *, num_steps: int, batch_size: int, num_images: int) -> list[int]:
    """Return the number of batches in the update that each step contributes to.

    An update has as many batches as is set for the epoch in which it starts; the phase's last one may have fewer.
    """
    sizes: list[int] = []
    while len(sizes) < num_steps:
        num_batches = phase.batches_an_update(len(sizes) * batch_size // num_images)
        num_batches = min(num_batches, num_steps - len(sizes))
        sizes += [num_batches] * num_batches
    return sizes
