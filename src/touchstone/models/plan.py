"""Whether a model's plan can be carried out, seen without data: its net is built on no device at all."""

from pathlib import Path

import torch
from torch import nn

from touchstone.config.model import Finetune, Model
from touchstone.errors import TouchstoneError
from touchstone.models.freezing import freeze
from touchstone.models.nets import build, head_of, imagenet_weights
from touchstone.models.origin import Origin, check_file
from touchstone.models.starts import check_fit


def check_plan(key: str, model: Model, *, channels: int) -> None:
    """Raise TouchstoneError where the net cannot be built with its options or take the test size, or a phase names
    a module it has not or trains nothing, no phase trains the head, or the weights cannot be the net's.
    """
    try:
        _check_origin(model, channels)
        net, head = outline(model, channels=channels), head_of(model.net)
        trained = False
        for phase in model.plan():
            freeze(net, phase, head=head)
            trained = trained or any(p.requires_grad for p in net.get_submodule(head).parameters())
        _check_test_size(net, model, channels)
        if isinstance(model, Finetune):
            return  # its head is another run's
        if not trained:
            raise TouchstoneError(f"trainable: no phase trains the head, {head}, which is drawn anew; add head to one")
    except TouchstoneError as error:
        raise TouchstoneError(f"{key}: {error}") from error


def check_start(key: str, model: Finetune, origin: Model, *, channels: int) -> None:
    """Raise TouchstoneError where the weights of `origin`, a model of the run to start from, do not fit the net, or no
    phase trains what the net has beyond them."""
    try:
        tensors, net = outline(origin, channels=channels).state_dict(), outline(model, channels=channels)
        check_fit(tensors, net, run=model.init_from, net_name=model.net)
        new = {name for name, _ in net.named_parameters() if name not in tensors}
        for phase in model.plan():
            freeze(net, phase, head=head_of(model.net))
            new -= {name for name, p in net.named_parameters() if p.requires_grad}
        if new:
            raise TouchstoneError(
                f"trainable: no phase trains {min(new)}, which {model.init_from} has not: it would stay as it was "
                f"drawn; add {min(new).split('.')[0]} to one"
            )
    except TouchstoneError as error:
        raise TouchstoneError(f"{key}: {error}") from error


def _check_test_size(net: nn.Module, model: Model, channels: int) -> None:
    try:
        net.eval()(torch.empty(1, channels, model.test_px, model.test_px, device="meta"))
    except RuntimeError as error:
        raise TouchstoneError(
            f"test_input_size: {model.net} is built for input_size {model.input_size} px and cannot take "
            f"{model.test_px} px; set 0, or choose a net that pools over any size"
        ) from error


def _check_origin(model: Model, channels: int) -> None:
    Origin.of(model, channels=channels)
    if model.weights == "imagenet":
        imagenet_weights(model.net, model.options)
    elif model.pretrained:
        check_file(Path(model.weights))


def outline(model: Model, *, channels: int) -> nn.Module:
    """The model's net with names and shapes but no values; its head has two classes."""
    with torch.device("meta"):
        return build(model.net, num_classes=2, in_channels=channels, input_size=model.input_size, options=model.options)
