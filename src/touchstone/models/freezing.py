"""Freezes parts of a net while the others train.

A frozen part is in evaluation mode even while the rest trains: its batch norms keep their statistics, and its dropouts
pass everything through.
"""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from touchstone.config.schema.model import Phase
from touchstone.errors import TouchstoneError, nearest

ALL, HEAD = "all", "head"


def freeze(net: nn.Module, phase: Phase, *, head: str) -> None:
    """Make only the phase's modules trainable. head: the name of the net's last module.

    Raises TouchstoneError on a module that the net lacks, and where no weights are left to train.
    """
    net.requires_grad_(False)
    for name in phase.trainable:
        _module(net, name, head).requires_grad_(True)
    if phase.batch_norm == "frozen":
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.requires_grad_(False)
    if not any(p.requires_grad for p in net.parameters()):
        raise TouchstoneError(f"trainable: {', '.join(phase.trainable)} holds no weights to train")


def train_mode(net: nn.Module, *, head: str) -> None:
    """Set trained modules to training mode and frozen ones to evaluation mode.

    A module without parameters, such as a dropout, follows the one that contains it. Where only the head is trained,
    everything before it is in evaluation mode.
    """
    net.train()
    for module in _frozen(net):
        module.eval()
    if is_frozen_but_head(net, head):
        inside = set(net.get_submodule(head).modules())
        for module in net.modules():
            module.training = module.training and module in inside


def is_frozen_but_head(net: nn.Module, head: str) -> bool:
    """Return whether everything before the head is frozen, so an image has the same features in each step."""
    return not any(p.requires_grad for name, p in net.named_parameters() if not name.startswith(head + "."))


def takes_vectors(net: nn.Module, head: str) -> bool:
    """Return whether a net's head takes features (B, D), which can be cached, and no maps."""
    return not any(isinstance(layer, nn.Conv2d) for layer in net.get_submodule(head).modules())


def _frozen(net: nn.Module) -> Iterator[nn.Module]:
    """Yield the outermost modules that have parameters, none of them trainable."""
    parameters = list(net.parameters())
    if parameters and not any(p.requires_grad for p in parameters):
        yield net
        return
    for child in net.children():
        yield from _frozen(child)


def _module(net: nn.Module, name: str, head: str) -> nn.Module:
    if name == ALL:
        return net
    modules = dict(net.named_modules())
    del modules[""]
    path = head if name == HEAD else name
    if path not in modules:
        top = [ALL, HEAD, *(child for child, _ in net.named_children())]
        raise TouchstoneError(
            f"trainable: got {name!r}, expected one of {', '.join(top)}, or a module inside one, such as "
            f"{next((inner for inner in modules if '.' in inner), head)}{nearest(name, [*top, *modules])}"
        )
    return modules[path]
