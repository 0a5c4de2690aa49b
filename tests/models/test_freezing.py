"""Tests which parts of a net train: frozen parts keep their weights, their statistics and their mode."""

import pytest
import torch
from torch import nn

from touchstone.config.schema.model import Phase
from touchstone.errors import TouchstoneError
from touchstone.models.freezing import freeze, is_frozen_but_head, train_mode
from touchstone.models.nets import build


def phase(*trainable: str, **changes) -> Phase:
    return Phase.model_validate({"num_steps": 1, "trainable": trainable or ("all",)} | changes)


def mobilenet() -> nn.Module:
    torch.manual_seed(0)
    return build("mobilenet_v2", num_classes=3, in_channels=3, input_size=32, options={})


def trained(net: nn.Module) -> set[str]:
    return {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("all",), {"features", "classifier"}),
        (("head",), {"classifier"}),
        (("features.18", "head"), {"features", "classifier"}),
    ],
)
def test_just_the_named_modules_are_trained(names: tuple[str, ...], expected: set[str]) -> None:
    net = mobilenet()
    freeze(net, phase("all"), head="classifier")
    freeze(net, phase(*names), head="classifier")
    assert trained(net) == expected
    inside = {name for name, p in net.features.named_parameters() if p.requires_grad}
    assert (names == ("features.18", "head")) == (bool(inside) and all(name.startswith("18.") for name in inside))
    assert is_frozen_but_head(net, "classifier") == (names == ("head",))


def test_frozen_parts_are_in_evaluation_mode_and_a_step_changes_nothing_of_them() -> None:
    net = mobilenet()
    freeze(net, phase("features.18", "head"), head="classifier")
    train_mode(net, head="classifier")
    assert not net.features[3].training
    assert net.features[18].training
    assert net.classifier[0].training, "the dropout of what is trained"
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    nn.functional.cross_entropy(net(torch.randn(4, 3, 32, 32)), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.rsplit(".", 2)[0] for name in changed} <= {
        "features.18",
        "features.18.0",
        "features.18.1",
        "classifier",
    }
    assert {"features.18.1.running_mean", "classifier.1.weight"} <= changed


def test_frozen_batch_norms_keep_statistics_scale_and_shift_while_all_else_trains() -> None:
    net = mobilenet()
    freeze(net, phase("all", batch_norm="frozen"), head="classifier")
    train_mode(net, head="classifier")
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(module.training or module.weight.requires_grad for module in norms)
    assert net.features[5].conv[0][0].weight.requires_grad
    before = [module.running_mean.clone() for module in norms]
    net(torch.randn(4, 3, 32, 32))
    assert all(torch.equal(module.running_mean, mean) for module, mean in zip(norms, before, strict=True))


def test_a_dropout_before_a_head_that_alone_is_trained_is_at_rest() -> None:
    body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    net = nn.Sequential(*body, nn.Sequential(nn.Dropout(), nn.Linear(4, 2)))
    freeze(net, phase("head"), head="5")
    train_mode(net, head="5")
    assert not any(module.training for module in net[:5])
    assert net[5][0].training
    freeze(net, phase("all"), head="5")
    train_mode(net, head="5")
    assert all(module.training for module in net.modules())


def test_unknown_modules_name_the_known_ones() -> None:
    with pytest.raises(
        TouchstoneError, match=r"trainable: got 'layer4', expected one of all, head, features, classifier"
    ):
        freeze(mobilenet(), phase("layer4"), head="classifier")
    with pytest.raises(TouchstoneError, match=r"did you mean features\?"):
        freeze(mobilenet(), phase("feature"), head="classifier")


def test_nothing_to_train_is_an_error() -> None:
    net = build("mobilenet_v2", num_classes=3, in_channels=3, input_size=32, options={})
    with pytest.raises(TouchstoneError, match=r"trainable: classifier\.0 holds no weights"):
        freeze(net, phase("classifier.0"), head="classifier")
