"""Every model file: builds, shapes, gradients, the parameter count in its header, channels_last, errors."""

import importlib
import re

import pytest
import torch

from touchstone.errors import TouchstoneError
from touchstone.models import build, check_net, check_settings, nets

SIZES = {"c3": 132, "lenet": 32, "simple": 32}


def made(net: str, *, size: int = 0, channels: int = 3, classes: int = 10) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(net, num_classes=classes, in_channels=channels, input_size=size or SIZES.get(net, 32), options={})


@pytest.mark.parametrize("net", nets())
def test_shapes_gradients_memory_format_and_seed(net: str) -> None:
    size = SIZES.get(net, 32)
    for channels in (1, 3):
        module = made(net, channels=channels, classes=7)
        x = torch.randn(2, channels, size, size)
        out = module(x)
        assert out.shape == (2, 7)
        out.square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
    module.eval()
    x = torch.randn(2, 3, size, size)
    plain = module(x)
    last = module.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert torch.allclose(plain, last, atol=1e-5)
    again = made(net, classes=7).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in made(net, classes=7).state_dict().items())


@pytest.mark.parametrize("net", nets())
def test_the_header_states_the_true_parameter_count(net: str) -> None:
    text = importlib.import_module(f"touchstone.models.{net}").__doc__ or ""
    stated = re.search(r"Parameters: ([\d,]+) at .*?(\d+) channels(?:,| and) (\d+) classes", text)
    assert stated, "the header must say: Parameters: N at ... 3 channels, K classes"
    module = made(net, channels=int(stated[2]), classes=int(stated[3]))
    assert sum(p.numel() for p in module.parameters()) == int(stated[1].replace(",", ""))


def test_c3_has_the_published_size() -> None:
    assert sum(p.numel() for p in made("c3", size=256, classes=8).parameters()) == 10_832


@pytest.mark.parametrize("net", nets())
def test_the_least_size_works_and_a_smaller_one_says_what_is_needed(net: str) -> None:
    least = importlib.import_module(f"touchstone.models.{net}").LEAST_PX
    assert made(net, size=least).eval()(torch.zeros(1, 3, least, least)).shape == (1, 10)
    with pytest.raises(TouchstoneError, match=f"{net}: got input_size {least - 1} px, at least {least} px"):
        made(net, size=least - 1)


@pytest.mark.parametrize("net", nets())
def test_what_a_file_says_is_checked_without_building(net: str) -> None:
    least = importlib.import_module(f"touchstone.models.{net}").LEAST_PX
    check_settings("mine", net, input_size=least, options={})
    with pytest.raises(TouchstoneError, match=f"{net}: got input_size {least - 1} px"):
        check_settings("mine", net, input_size=least - 1, options={})
    with pytest.raises(TouchstoneError, match=f"{net}: unknown option 'widht'"):
        check_settings("mine", net, input_size=least, options={"widht": 3})


def test_unknown_nets_and_options_name_the_nearest() -> None:
    with pytest.raises(
        TouchstoneError, match=r"models\.mine: no src/touchstone/models/lenett\.py.*did you mean lenet\?"
    ):
        check_net("mine", "lenett")
    with pytest.raises(TouchstoneError, match="lenet: unknown option 'width'"):
        build("lenet", num_classes=2, in_channels=1, input_size=32, options={"width": 3})
