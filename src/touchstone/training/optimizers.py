"""Optimizers and learning-rate schedules by name, each torch's own, and the batches of an update.

A step is a batch. What params.yaml does not set has torch's default.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler as lrs

from touchstone.config.schema.model import Phase

Schedule = lrs.LRScheduler
Plateau = lrs.ReduceLROnPlateau
SCALE = "lr_scale"  # of a group of an optimizer: its learning rate over that of the first group


def optimizer_of(parameters: Iterable[nn.Parameter] | list[dict[str, Any]], phase: Phase) -> torch.optim.Optimizer:
    """Return the phase's optimizer, with one kernel for all parameters (fused or foreach), not several for each.

    parameters: those to train, or groups of them, as `layer_rates` makes them.

    sgd with momentum (Polyak 1964) and nesterov (Sutskever et al. 2013); adam (Kingma & Ba 2014, arXiv 1412.6980);
    adamw (Loshchilov & Hutter 2017, arXiv 1711.05101); nadam (Dozat 2016); rmsprop (Tieleman & Hinton 2012); adagrad
    (Duchi et al. 2011); adadelta (Zeiler 2012, arXiv 1212.5701).
    """
    t, betas, momentum = torch.optim, (phase.beta1, phase.beta2), phase.momentum
    optimizers: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
        "sgd": (t.SGD, {"momentum": momentum, "fused": True}),
        "nesterov": (t.SGD, {"momentum": momentum, "nesterov": momentum > 0, "fused": True}),
        "adam": (t.Adam, {"betas": betas, "fused": True}),
        "adamw": (t.AdamW, {"betas": betas, "fused": True}),
        "nadam": (t.NAdam, {"betas": betas, "foreach": True}),
        "rmsprop": (t.RMSprop, {"foreach": True}),
        "adagrad": (t.Adagrad, {"fused": True}),
        "adadelta": (t.Adadelta, {"foreach": True}),
    }
    kind, options = optimizers[phase.optimizer]
    return kind(parameters, lr=phase.rate, weight_decay=phase.weight_decay, **options)


def schedule_of(optimizer: torch.optim.Optimizer, phase: Phase, *, num_steps: int, steps_per_epoch: float) -> Schedule:
    """Return the phase's schedule over `num_steps` steps, after a linear warm-up where it has one.

    one_cycle: Smith & Topin 2017, arXiv 1708.07120; it also cycles the momentum of optimizers that have one. linear
    falls to 0 by the same amount at each step. cosine: Loshchilov & Hutter 2016, arXiv 1608.03983, without restarts.
    Warm-up: Goyal et al. 2017, arXiv 1706.02677. plateau is constant here, and lowered by `Plateau`.
    """
    warmup = warmup_steps(phase, num_steps=num_steps, steps_per_epoch=steps_per_epoch)
    main: Schedule
    if phase.schedule == "one_cycle":
        cycles = "betas" in optimizer.defaults or optimizer.defaults.get("momentum", 0) > 0
        total = max(2, num_steps - warmup)
        main = lrs.OneCycleLR(
            optimizer, max_lr=group_rates(optimizer, phase.rate), total_steps=total, cycle_momentum=cycles
        )
    elif phase.schedule == "linear":
        main = lrs.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=num_steps - warmup)
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


def group_rates(optimizer: torch.optim.Optimizer, rate: float) -> list[float]:
    """Return the learning rate of each of the optimizer's groups where that of the first one is `rate`."""
    return [rate * group.get(SCALE, 1.0) for group in optimizer.param_groups]


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
