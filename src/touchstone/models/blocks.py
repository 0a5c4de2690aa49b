"""The blocks of a net in the order in which an image passes through them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

LARGE = 0.5  # share of the weights before the head above which a module is split into its parts


def blocks(net: nn.Module, *, head: str, images: torch.Tensor) -> list[list[str]]:
    """Return the names of each block's parameters: the head's first, and those of the net's first block last.

    Where the net is timm's, blocks are timm's own groups of layers, the last of which may hold more than the head.
    Otherwise a block is a module of the net. Sequences (Sequential, ModuleList) and modules that hold more than half of
    the weights before the head are split into their parts. Parts without matrices, such as batch norms, belong to the
    block before them. The order is that of execution; parallel paths count one after the other.

    head: the name of the net's last module. images: float32 (B, C, H, W), predicted once to see the order.
    """
    names = [name for name, _ in net.named_parameters()]
    of_head = [name for name in names if _inside(name, head)]
    if hasattr(net, "group_matcher"):
        return _timm_groups(net, of_head)
    modules = list(_modules(net, "", head, _large(net, head)))
    position = _order(net, images)
    modules.sort(key=lambda name: position.get(name, len(position)))  # what a prediction does not call is next to last
    members: dict[str, list[str]] = {name: [] for name in modules}
    for name in names:
        if name not in of_head:
            members.setdefault(_module_of(name, modules), []).append(name)
    return [of_head, *reversed(_joined(net, list(members.values())))]


def _timm_groups(net: Any, of_head: list[str]) -> list[list[str]]:
    from timm.models import group_parameters  # here: timm is an optional extra, which such a net comes from

    number: dict[str, int] = group_parameters(net, net.group_matcher(coarse=False), reverse=True)
    number |= dict.fromkeys(of_head, max(number.values()))
    groups = ([name for name in number if number[name] == i] for i in range(max(number.values()), -1, -1))
    return [group for group in groups if group]


def _inside(name: str, module: str) -> bool:
    return not module or name.startswith(f"{module}.")


def _num_weights(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _large(net: nn.Module, head: str) -> float:
    return LARGE * (_num_weights(net) - _num_weights(net.get_submodule(head)))


def _modules(module: nn.Module, name: str, head: str, large: float) -> Iterator[str]:
    """Yield the names of the modules that blocks are made of, in the order of definition, without the head."""
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}" if name else child_name
        num_weights = _num_weights(child)
        if path == head or not num_weights:
            continue
        is_split = isinstance(child, nn.Sequential | nn.ModuleList) or num_weights > large or _inside(head, path)
        if is_split and any(True for part in child.children() if _num_weights(part)):
            yield from _modules(child, path, head, large)
        else:
            yield path


def _order(net: nn.Module, images: torch.Tensor) -> dict[str, int]:
    """Return each module's position among those that a prediction calls."""
    position: dict[str, int] = {}
    modes = [(module, module.training) for module in net.modules()]

    def note(name: str, *_: Any) -> None:
        position.setdefault(name, len(position))

    hooks = [module.register_forward_pre_hook(partial(note, name)) for name, module in net.named_modules()]
    try:
        with torch.no_grad():
            net.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
        for module, was_training in modes:
            module.training = was_training
    return position


def _module_of(parameter: str, modules: list[str]) -> str:
    """Return the module that a parameter is in; for a parameter of a split module, the first one of its parts."""
    parent = parameter.rpartition(".")[0]
    around = (name for name in modules if _inside(parameter, name))
    parts = (name for name in modules if _inside(name, parent))
    return next(around, None) or next(parts, parent)


def _joined(net: nn.Module, members: list[list[str]]) -> list[list[str]]:
    """Add modules without matrices to the block before them, or to the first one."""
    joined: list[list[str]] = []
    waiting: list[str] = []
    for names in members:
        if any(net.get_parameter(name).ndim > 1 for name in names):
            joined.append(waiting + names)
            waiting = []
        elif joined:
            joined[-1] += names
        else:
            waiting += names
    return [*joined, waiting] if waiting else joined
