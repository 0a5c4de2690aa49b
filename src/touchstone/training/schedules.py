"""Learning-rate schedules, each torch's own, a step a batch."""

import torch
from torch.optim import lr_scheduler as lrs

from touchstone.config.model import Phase

Schedule = lrs.LRScheduler


def schedule(optimizer: torch.optim.Optimizer, s: Phase, *, num_steps: int, steps_per_epoch: float) -> Schedule:
    """The phase's schedule over `num_steps` batches, after a warm-up in a line where it has one.

    one_cycle: Smith & Topin 2017, arXiv 1708.07120; it cycles momentum, too, where the optimizer has one. cosine:
    Loshchilov & Hutter 2016, arXiv 1608.03983, without restarts. Warm-up: Goyal et al. 2017, arXiv 1706.02677. plateau
    is constant here; `plateau` below lowers it.
    """
    warmup = warmup_steps(s, num_steps=num_steps, steps_per_epoch=steps_per_epoch)
    main = _main(optimizer, s, num_steps - warmup, steps_per_epoch)
    if not warmup:
        return main
    rising = lrs.LinearLR(optimizer, start_factor=1 / warmup, total_iters=warmup - 1)
    return lrs.SequentialLR(optimizer, [rising, main], milestones=[warmup])


def warmup_steps(s: Phase, *, num_steps: int, steps_per_epoch: float) -> int:
    """Over how many batches the learning rate rises, 0 or more than 1; at least one is left for the schedule."""
    found = min(round(s.warmup_epochs * steps_per_epoch), num_steps - 1)
    return found if found > 1 else 0


def _main(optimizer: torch.optim.Optimizer, s: Phase, num_steps: int, steps_per_epoch: float) -> Schedule:
    if s.schedule == "one_cycle":
        cycles = "betas" in optimizer.defaults or (optimizer.defaults.get("momentum", 0) > 0)
        return lrs.OneCycleLR(optimizer, max_lr=s.rate, total_steps=max(2, num_steps), cycle_momentum=cycles)
    if s.schedule == "cosine":
        return lrs.CosineAnnealingLR(optimizer, T_max=num_steps)
    if s.schedule == "step":
        every = max(1, round(s.decay_epochs * steps_per_epoch))
        return lrs.StepLR(optimizer, step_size=every, gamma=s.decay)
    return lrs.ConstantLR(optimizer, factor=1.0, total_iters=1)


def plateau(optimizer: torch.optim.Optimizer, s: Phase) -> lrs.ReduceLROnPlateau | None:
    """What lowers the learning rate after `plateau_patience` validations whose loss is not lower, or None."""
    if s.schedule != "plateau":
        return None
    return lrs.ReduceLROnPlateau(optimizer, factor=s.decay, patience=s.plateau_patience, threshold=0.0)


def averaging(optimizer: torch.optim.Optimizer, *, lr: float, anneal_steps: int) -> Schedule:
    """From the learning rate there is to `lr`, by half a cosine: that of stochastic weight averaging."""
    return torch.optim.swa_utils.SWALR(optimizer, swa_lr=lr, anneal_epochs=max(1, anneal_steps), anneal_strategy="cos")
