"""The blocks of nets, from the head to the first one."""

import pytest
import torch
from torch import nn
from torchvision import models

from touchstone.models.blocks import blocks
from touchstone.models.nets import build, head_of

SIDES = {"c3": 132}


def blocks_of(net_name: str, **options: object) -> list[list[str]]:
    side_px = SIDES.get(net_name, 32)
    net = build(net_name, num_classes=3, in_channels=1, input_size=side_px, options=options)
    return found(net, head=head_of(net_name), images=torch.zeros(1, 1, side_px, side_px))


def found(net: nn.Module, *, head: str, images: torch.Tensor) -> list[list[str]]:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    result = blocks(net, head=head, images=images)
    assert sorted(name for block in result for name in block) == sorted(name for name, _ in net.named_parameters()), (
        "each parameter once"
    )
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(module.training and not module._forward_pre_hooks for module in net.modules())
    return result


def modules(names: list[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


def test_a_resnet_has_its_stem_and_residual_blocks() -> None:
    result = blocks_of("resnet")
    assert result[0] == ["fc.weight", "fc.bias"]
    assert modules(result[-1]) == {"conv1", "bn1"}
    prefixes = [{".".join(name.split(".")[:2]) for name in block} for block in result[1:-1]]
    assert prefixes == [{f"layer{layer}.{i}"} for layer in (4, 3, 2, 1) for i in (1, 0)]


def test_mobilenet_v2_has_the_parts_of_its_features_and_a_whole_head() -> None:
    result = blocks_of("mobilenet_v2", hidden=8)
    prefixes = [{".".join(name.split(".")[:2]) for name in block} for block in result]
    assert prefixes == [{"classifier.0", "classifier.3"}, *({f"features.{i}"} for i in range(18, -1, -1))]


def test_a_batch_norm_belongs_to_the_block_before_it() -> None:
    assert [modules(block) for block in blocks_of("lenet_bn")] == [
        {"15"},
        {"12", "13"},
        {"9", "10"},
        {"4", "5"},
        {"0", "1"},
    ]


@pytest.mark.parametrize(("at", "place"), [("image", -1), ("layer2", 5), ("layer4", 1)])
def test_the_order_is_that_of_execution(at: str, place: int) -> None:
    result = blocks_of("resnet_graph_attention", at=at)
    assert all(name.startswith("attention.") for name in result[place])


def test_a_module_with_most_of_the_weights_is_split() -> None:
    net = models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=4, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=3
    )
    result = found(net, head="heads.head", images=torch.zeros(1, 3, 32, 32))
    inner = [block for block in result if any("encoder_layer_" in name for name in block)]
    assert len(inner) == 4
    assert "class_token" in result[-1]
    assert "encoder.ln.weight" in inner[0]


def test_a_head_alone_is_one_block() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    assert blocks(net, head="1", images=torch.zeros(1, 1, 4, 4)) == [["1.weight", "1.bias"]]


@pytest.mark.parametrize(("name", "head"), [("resnet10t", "fc"), ("vit_tiny_patch16_224", "head")])
def test_nets_of_timm_have_its_groups(name: str, head: str) -> None:
    timm = pytest.importorskip("timm")
    from timm.optim import param_groups_layer_decay

    net = timm.create_model(name, num_classes=3)
    scales = {
        id(p): group["lr_scale"]
        for group in param_groups_layer_decay(net, layer_decay=0.5, weight_decay=0.0)
        for p in group["params"]
    }
    result = found(net, head=head, images=torch.zeros(1, 3, 224, 224))
    ours = {id(net.get_parameter(name)): 0.5**i for i, block in enumerate(result) for name in block}
    assert ours == pytest.approx(scales)
