"""Nets of torchvision and timm: built by name, with a head for one's own classes, and their weights fitted to them."""

import inspect
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

import torch
from torch import nn

from touchstone.config.net_names import TORCHVISION
from touchstone.config.pretrained_config import architecture, import_timm, library
from touchstone.errors import TouchstoneError, one_line

MARK = 10_007  # a number of classes that no layer within a net has
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")  # heads that only the training of GoogLeNet and Inception uses

__all__ = ["build", "fitted", "head_of", "outline", "version"]


def version(net: str) -> str:
    """Return the library of a net and its version, which decide what is built."""
    return f"{library(net)} {metadata.version(library(net))}"


def build(net: str, *, num_classes: int, in_channels: int, input_size: int, **options: Any) -> nn.Module:
    """Build a net, (B, in_channels, input_size, input_size) -> logits (B, num_classes), with random weights.

    Raises ValueError, TypeError or RuntimeError, as its library does, on a size or an option that it does not take.
    """
    if net.startswith(TORCHVISION):
        return _of_torchvision(net, num_classes, in_channels, input_size, options)
    return _of_timm(net, num_classes, in_channels, input_size, options)


def _of_torchvision(
    net: str, num_classes: int, in_channels: int, input_size: int, options: dict[str, Any]
) -> nn.Module:
    from torchvision import models

    name = net.removeprefix(TORCHVISION)
    given: dict[str, Any] = {"num_classes": num_classes, **options}
    if name.startswith("vit_"):
        given["image_size"] = input_size
    elif name.startswith("maxvit"):
        given["input_size"] = (input_size, input_size)
    elif "aux_logits" in inspect.signature(models.get_model_builder(name)).parameters or name in (
        "googlenet",
        "inception_v3",
    ):
        given |= {"aux_logits": False, "init_weights": False}
    built: nn.Module = models.get_model(name, weights=None, **given)
    if isinstance(built, models.MNASNet):
        built.__class__ = _plain(type(built))
    if in_channels != 3:
        _replace_stem(built, in_channels)
    return built


def _plain(kind: Any) -> type[nn.Module]:
    """Return a class that loads its weights as other nets do: MNASNet's own refuses those without a version."""
    loads = {"_load_from_state_dict": nn.Module._load_from_state_dict, "__module__": __name__}
    return type(kind.__name__, (kind,), loads)


def outline(net: str, **given: Any) -> nn.Module:
    """Build a net as `build` does, without values."""
    try:
        with torch.device("meta"):
            return build(net, **given)
    except NotImplementedError:  # RegNet computes its widths with tensors
        return build(net, **given).to("meta")


def _replace_stem(net: nn.Module, in_channels: int) -> None:
    """Put a convolution for another number of channels in the place of the first one."""
    name, old = next((name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
    shape: Any = {name: getattr(old, name) for name in ("out_channels", "kernel_size", "stride", "padding")}
    new = nn.Conv2d(in_channels, **shape, bias=old.bias is not None)
    parent, _, last = name.rpartition(".")
    setattr(net.get_submodule(parent), last, new)


def _of_timm(
    net: str, num_classes: int, in_channels: int, input_size: int, options: dict[str, Any], **more: Any
) -> Any:
    name, arguments = architecture(net)
    given = {**arguments, **options, "num_classes": num_classes, "in_chans": in_channels, **more}
    create = import_timm().create_model
    if not _takes_any_size(name):
        given["img_size"] = input_size
    return create(name, **{"pretrained": False, **given})


@cache
def _takes_any_size(name: str) -> bool:
    found = import_timm().get_pretrained_cfg(name)
    return not (found is not None and found.fixed_input_size)


@cache
def head_of(net: str) -> str:
    """Return the name of the net's last module: the layer with an output for each class.

    A convolution is followed by pooling and a dropout before a single linear layer belongs to the head: then it is the
    module that holds them. Raises TouchstoneError where no layer, or more than one, has such outputs.
    """
    built = outline(net, num_classes=MARK, in_channels=3, input_size=_own_size(net))
    found = [
        (name, layer)
        for name, layer in built.named_modules()
        if MARK in (getattr(layer, "out_features", 0), getattr(layer, "out_channels", 0))
    ]
    if len(found) != 1:
        which = ", ".join(name for name, _ in found) or "none"
        raise TouchstoneError(
            f"{net}: expected one layer with an output for each class, got {which}; choose another net"
        )
    name, layer = found[0]
    parent = name.rpartition(".")[0]
    if isinstance(layer, nn.Conv2d):
        return name.split(".")[0]
    siblings = list(built.get_submodule(parent).children()) if parent else []
    if isinstance(built.get_submodule(parent), nn.Sequential) and parent:
        before = siblings[: siblings.index(layer)]
        if siblings[-1] is layer and before and all(isinstance(each, nn.Dropout) for each in before):
            return parent
    return name


def _own_size(net: str) -> int:
    """Return the side in px that a net is made for; 224 where it takes many."""
    if net.startswith(TORCHVISION):
        return 224
    found = import_timm().get_pretrained_cfg(architecture(net)[0])
    return int(found.input_size[-1]) if found is not None else 224


def fitted(
    net: str,
    tensors: Mapping[str, torch.Tensor],
    *,
    in_channels: int,
    input_size: int,
    options: Mapping[str, Any],
) -> dict[str, torch.Tensor]:
    """Return the tensors of everything before the head, fitted to the net's channels and size as its library does it.

    Raises TouchstoneError where tensors are missing or do not fit.
    """
    head = head_of(net)
    if net.startswith(TORCHVISION):
        kept = {name: value for name, value in tensors.items() if not name.startswith((*AUXILIARY, f"{head}."))}
        return _positions(net, kept, input_size)
    shared: Any = {"num_classes": 2, "in_channels": in_channels, "input_size": input_size, "options": dict(options)}
    bodies = []
    for seed in (0, 1):  # a tensor that the file lacks keeps its random value
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                overlay = {"state_dict": dict(tensors), "custom_load": False}
                built = _of_timm(net, **shared, pretrained=True, pretrained_cfg_overlay=overlay)
            except Exception as error:  # libraries refuse tensors in many ways
                raise TouchstoneError(f"{net}: the weights do not fit ({one_line(error)[:300]})") from error
        bodies.append({name: value for name, value in built.state_dict().items() if not name.startswith(f"{head}.")})
    random = [name for name, value in bodies[0].items() if not torch.equal(value, bodies[1][name])]
    if random:
        raise TouchstoneError(f"{net}: the weights lack {', '.join(random[:3])}{', ...' if len(random) > 3 else ''}")
    return bodies[0]


def _positions(net: str, tensors: dict[str, torch.Tensor], input_size: int) -> dict[str, torch.Tensor]:
    """Interpolate the position embeddings of a vision transformer to another size of its input."""
    if "encoder.pos_embedding" not in tensors:
        return tensors
    from torchvision.models.vision_transformer import interpolate_embeddings

    patch = int(tensors["conv_proj.weight"].shape[-1])
    return dict(interpolate_embeddings(input_size, patch, {**tensors}))
