"""Optimizers by name, each torch's own.

Settings that are not listed in params.yaml are torch's: RMSprop forgets mean squares at .99 a step and has no momentum,
Adadelta at .9; Nadam's momentum decays by .004.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from touchstone.config.model import Phase


def optimizer(parameters: Iterable[nn.Parameter], s: Phase) -> torch.optim.Optimizer:
    """The phase's optimizer; one kernel for all parameters (fused, or foreach) instead of several for each.

    sgd with momentum (Polyak 1964) and nesterov (Sutskever et al. 2013); adam (Kingma & Ba 2014, arXiv 1412.6980);
    adamw (Loshchilov & Hutter 2017, arXiv 1711.05101); nadam (Dozat 2016); rmsprop (Tieleman & Hinton 2012); adagrad
    (Duchi et al. 2011); adadelta (Zeiler 2012, arXiv 1212.5701).
    """
    t, betas = torch.optim, (s.beta1, s.beta2)
    known: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
        "sgd": (t.SGD, {"momentum": s.momentum, "fused": True}),
        "nesterov": (t.SGD, {"momentum": s.momentum, "nesterov": s.momentum > 0, "fused": True}),
        "adam": (t.Adam, {"betas": betas, "fused": True}),
        "adamw": (t.AdamW, {"betas": betas, "fused": True}),
        "nadam": (t.NAdam, {"betas": betas, "foreach": True}),
        "rmsprop": (t.RMSprop, {"foreach": True}),
        "adagrad": (t.Adagrad, {"fused": True}),
        "adadelta": (t.Adadelta, {"foreach": True}),
    }
    kind, own = known[s.optimizer]
    return kind(parameters, lr=s.rate, weight_decay=s.weight_decay, **own)
