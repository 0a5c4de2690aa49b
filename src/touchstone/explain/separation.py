"""A net with the same outputs in which each call of a nonlinearity has a module of its own, as DeepLift requires.

- None works in place, and none is called twice in a pass: torchvision's ResNets call one ReLU several times.
- None takes the very tensor that another returned: Captum (0.9 and before) would read the multiplier of a ReLU before
  the max pooling behind it has set it (captum#1104).
- No windows of max pooling overlap: Captum routes differences by `max_unpool`, which keeps those of one window only.
"""

import copy
from collections import Counter

import torch
from torch import nn
from torch.nn import functional as F

LOWEST = -1e30  # padding that no window chooses; infinity would make differences NaN


class Apart(nn.Module):
    """Copies of a module without weights, one for each of its calls in a pass; each takes a new tensor."""

    def __init__(self, module: nn.Module, calls: int) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(module) for _ in range(calls))
        self.next = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        module = self.copies[self.next]
        self.next = (self.next + 1) % len(self.copies)
        return module(x.clone())


class Windows(nn.Module):
    """Max pooling with its windows laid out side by side: (B, C, H, W) -> the same values."""

    def __init__(self, *, size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding
        self.pool = nn.MaxPool2d((self.size**2, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (self.padding,) * 4, value=LOWEST)
        rows, columns = ((side - self.size) // self.stride + 1 for side in x.shape[2:])
        windows = F.unfold(x, self.size, stride=self.stride).unflatten(1, (x.shape[1], -1))  # (B, C, size^2, windows)
        return self.pool(windows).unflatten(3, (rows, columns))[:, :, 0]


def separated(net: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return such a copy, in evaluation mode. example: (B, C, H, W), passed through the net to record its calls."""
    made = copy.deepcopy(net).eval()
    for module in made.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    _replace(made, {module: windows for module in made.modules() if (windows := _windows(module))})
    calls = Counter(module for module in called(made, example) if not module.state_dict())
    return _replace(made, {module: Apart(module, count) for module, count in calls.items()})


def called(net: nn.Module, example: torch.Tensor) -> list[nn.Module]:
    """Return the leaf modules that a pass calls, in order, each as often as it is called."""
    calls: list[nn.Module] = []
    leaves = [module for module in net.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda module, *_: calls.append(module)) for leaf in leaves]
    with torch.no_grad():
        net(example)
    for hook in hooks:
        hook.remove()
    return calls


def _windows(module: nn.Module) -> Windows | None:
    """Return the replacement of a max pooling whose windows overlap; None for any other module."""
    if not isinstance(module, nn.MaxPool2d) or module.ceil_mode or module.dilation != 1:
        return None
    size, stride, padding = module.kernel_size, module.stride, module.padding
    if isinstance(size, int) and isinstance(stride, int) and isinstance(padding, int) and size > stride:
        return Windows(size=size, stride=stride, padding=padding)
    return None


def _replace(net: nn.Module, others: dict[nn.Module, nn.Module]) -> nn.Module:
    """Replace modules by others, under each of their names."""
    for name, module in list(net.named_modules(remove_duplicate=False)):
        if module in others:
            parent, _, own = name.rpartition(".")
            setattr(net.get_submodule(parent), own, others[module])
    return net
