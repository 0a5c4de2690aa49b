"""The moving average of weights: torch's own, to the bit, but for where its count is."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from touchstone.models.averaging import averaged


def by_torch(decay: float, old: Any, new: Any, count: torch.Tensor | int) -> None:
    share = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
    if old[0].is_floating_point():
        torch._foreach_lerp_(old, new, share)
    else:
        for one, other in zip(old, new, strict=True):
            one.copy_(other)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2).double())


def changed(module: nn.Module) -> None:
    with torch.no_grad():
        for value in (*module.parameters(), *module.buffers()):
            value.add_(1 if value.dtype == torch.int64 else torch.randn_like(value))


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_it_is_that_of_torch_also_where_it_goes_on_from_a_checkpoint(decay: float) -> None:
    module = net()
    own = averaged(module, decay=decay)
    other = AveragedModel(module, multi_avg_fn=partial(by_torch, decay), use_buffers=True)
    early: dict[str, torch.Tensor] = {}
    for step in range(12):
        changed(module)
        if step == 3:  # a new process
            state, own = own.state_dict(), averaged(net(), decay=decay)
            own.load_state_dict(state)
            early = {name: value.clone() for name, value in state.items()}
        if step == 7:  # one that has counted further goes back
            own.load_state_dict(early)
            other.load_state_dict(early)
        own.update_parameters(module)
        other.update_parameters(module)
        wanted = other.state_dict()
        assert own.state_dict().keys() == wanted.keys()
        assert all(torch.equal(value, wanted[name]) for name, value in own.state_dict().items())


def test_no_update_asks_a_tensor_for_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU each would wait until the device has computed all that it was given."""
    module = net()
    own = averaged(module, decay=0.9)
    own.update_parameters(module)
    for name in ("__int__", "__bool__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, None)
    own.update_parameters(module)
    monkeypatch.undo()
    assert int(own.n_averaged) == 2
