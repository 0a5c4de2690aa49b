"""Optimizers by name, each torch's own, with torch's defaults for all that params.yaml does not set."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from touchstone.config.schema.model import Phase


def optimizer_of(parameters: Iterable[nn.Parameter], phase: Phase) -> torch.optim.Optimizer:
    """Return the phase's optimizer, with one kernel for all parameters (fused or foreach), not several for each.

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
