"""The ResNet for small images with one block of attention."""

import torch
from torchvision.models.resnet import ResNet

from touchstone.models.nets import check_option
from touchstone.models.nets._attention import Attentive, PatchAttention
from touchstone.models.nets._resnet import BLOCKS, small_resnet

IMAGE, LAYERS = "image", ("layer1", "layer2", "layer3", "layer4")
STAGES = ("conv1", "bn1", "relu", "maxpool", *LAYERS)
CHANNELS = {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}  # layer -> channels of its output


class AttentiveResNet(Attentive, ResNet):
    """A ResNet in which the image, or the output of a layer, passes through the block `attention`."""

    num_before: int  # of STAGES; 0 where the block takes the image

    def before_attention(self, x: torch.Tensor) -> torch.Tensor:
        for name in STAGES[: self.num_before]:
            x = self.get_submodule(name)(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.attention(self.before_attention(x))
        for name in STAGES[self.num_before :]:
            x = self.get_submodule(name)(x)
        return self.fc(self.avgpool(x).flatten(1))


def attentive_resnet(
    kind: str,
    *,
    num_classes: int,
    in_channels: int,
    input_size: int,
    depth: int,
    at: str,
    patch: int,
    heads: int,
    width: int,
) -> AttentiveResNet:
    """Build `resnet_cifar` with a block of attention. kind: "graph" or "classic".

    The weights of `resnet_cifar` are drawn first and keep their names. Raises TouchstoneError on an unknown depth or
    layer, and ValueError as `PatchAttention` does.
    """
    net_name = f"resnet_{kind}_attention"
    check_option(net_name, "depth", depth, BLOCKS)
    check_option(net_name, "at", at, (IMAGE, *LAYERS))
    net = small_resnet(AttentiveResNet, depth=depth, num_classes=num_classes, in_channels=in_channels)
    assert isinstance(net, AttentiveResNet)
    side_px, channels = input_size, in_channels
    if at != IMAGE:
        channels = CHANNELS[at]
        for _ in range(LAYERS.index(at)):
            side_px = -(-side_px // 2)  # each layer but the first has stride 2
    net.num_before = (IMAGE, *STAGES).index(at)
    net.attention = PatchAttention(kind, channels=channels, side_px=side_px, patch=patch, heads=heads, width=width)
    return net
