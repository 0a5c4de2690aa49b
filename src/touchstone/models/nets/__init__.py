"""Nets, one per file: `models/nets/<net>.py` with `build(*, num_classes, in_channels, input_size, ...)`. No registry.

The other keyword arguments of `build` are the net's options, set by `models.<name>.options` in params.yaml. The file
also defines

    LEAST_PX       the smallest side of the input, in px
    HEAD           the name of the net's last module, which turns features into logits
    HEAD_OPTIONS   optional: the options that change only the head
    imagenet(...)  optional: torchvision's name of the weights trained on ImageNet
    from_images(net, images)  optional: sets weights by training images, float32 (N, C, H, W), normalised
    ATTENDS        optional: True where the net is an `_attention.Attentive`

A name that begins with torchvision/, timm/, hf-hub: or local-dir: is a net of a library, which `_library.py` builds.
"""

import ast
import importlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from touchstone.config.net_names import PUBLISHED, is_library_net
from touchstone.errors import TouchstoneError, nearest, one_line

if TYPE_CHECKING:
    import torch
    from torch import nn

    from touchstone.config.schema.model import Option

FOLDER = Path(__file__).parent
GIVEN = ("num_classes", "in_channels", "input_size")  # the arguments of build() that are not options


def nets() -> list[str]:
    """Return the names of all nets."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def file_of(net: str) -> Path:
    """Return the file that builds a net."""
    return FOLDER / ("_library.py" if is_library_net(net) else f"{net}.py")


def facts_of(net: str) -> dict[str, str]:
    """Return what decides how a net is built, beside its file: a library's version, or nothing."""
    return {net: _of_library().version(net)} if is_library_net(net) else {}


def check_net(key: str, net: str) -> None:
    """Raise TouchstoneError unless `net`, the value of `key` in params.yaml, has a file or is a library's."""
    if is_library_net(net):
        _configs().check_name(key, net)
    elif net not in nets():
        raise TouchstoneError(
            f"{key}: no src/touchstone/models/nets/{net}.py; nets are {', '.join(nets())}{nearest(net, nets())}, and "
            "torchvision/NAME and timm/NAME, which `touchstone models` lists"
        )


def check_settings(key: str, net: str, *, input_size: int, options: Iterable[str]) -> None:
    """Raise TouchstoneError where the net cannot be built with these settings. Its file is read but not run."""
    check_net(key, net)
    if is_library_net(net):
        return
    tree, constants = _read(net)
    if "HEAD" not in constants:
        raise TouchstoneError(
            f"{net}: no HEAD in src/touchstone/models/nets/{net}.py; set it to the name of the last module"
        )
    if "LEAST_PX" in constants:
        check_size(net, input_size, least=ast.literal_eval(constants["LEAST_PX"]))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            _check_options(net, options, [argument.arg for argument in node.args.kwonlyargs])


def attends(net: str) -> bool:
    """Return whether the net has a block of attention (ATTENDS = True). Its file is read but not run."""
    if is_library_net(net):
        return False
    constants = _read(net)[1]
    return "ATTENDS" in constants and ast.literal_eval(constants["ATTENDS"]) is True


def least_px(net: str) -> int:
    """Return the smallest side in px of the input of a net of ours; its file is read but not run."""
    constants = _read(net)[1]
    return ast.literal_eval(constants["LEAST_PX"]) if "LEAST_PX" in constants else 1


def _read(net: str) -> tuple[ast.Module, dict[str, ast.expr]]:
    """Return the syntax tree of a net's file, and its constants by name."""
    tree = ast.parse(file_of(net).read_text(encoding="utf-8"))
    return tree, {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _check_options(net: str, options: Iterable[str], arguments: Iterable[str]) -> None:
    accepted = [name for name in arguments if name not in GIVEN]
    for name in options:
        if name not in accepted:
            expected = ", ".join(accepted) or "none"
            raise TouchstoneError(f"{net}: unknown option {name!r}, expected {expected}{nearest(name, accepted)}")


def build(
    net: str,
    *,
    num_classes: int,
    in_channels: int,
    input_size: int,
    options: "dict[str, Option]",
) -> "nn.Module":
    """Build a net, with weights drawn from torch's global generator.

    Raises TouchstoneError on an unknown net, too small an input, and an option or value that the net does not take.
    """
    check_net(net, net)
    given = {"num_classes": num_classes, "in_channels": in_channels, "input_size": input_size}
    if is_library_net(net):
        return _built(net, {**given, "net": net}, options, _of_library().build)
    function = _module(net).build
    _check_options(net, options, inspect.signature(function).parameters)
    return _built(net, given, options, function) if options else function(**given)


def outline(
    net: str, *, num_classes: int, in_channels: int, input_size: int, options: "dict[str, Option]"
) -> "nn.Module":
    """Build a net as `build` does, without values, only names and shapes."""
    import torch

    given: Any = {"num_classes": num_classes, "in_channels": in_channels, "input_size": input_size}
    if is_library_net(net):
        check_net(net, net)
        return _built(net, {**given, "net": net}, options, _of_library().outline)
    with torch.device("meta"):
        return build(net, options=options, **given)


def _built(
    net: str, given: dict[str, Any], options: "dict[str, Option]", function: Callable[..., "nn.Module"]
) -> "nn.Module":
    try:
        return function(**given, **options)
    except (TouchstoneError, NotImplementedError):
        raise
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:  # libraries refuse values in different ways
        values = ", ".join(f"{name} {value!r}" for name, value in options.items())
        what = f"options {values}" if options else f"input_size {given['input_size']}, {given['in_channels']} channels"
        where = "models.<name>.options" if options else "models.<name>.input_size"
        raise TouchstoneError(f"{net}: {what}: {one_line(error)}; correct {where}") from error


def takes_images(net: str) -> bool:
    """Return whether a net sets weights by training images before it is trained."""
    return not is_library_net(net) and hasattr(_module(net), "from_images")


def from_images(net: str, module: "nn.Module", images: "torch.Tensor") -> None:
    """Set the weights of a net, built as `module`, that follow from training images (N, C, H, W), normalised."""
    _module(net).from_images(module, images)


def _of_library() -> ModuleType:
    """Import what builds the nets of libraries: by its name, so that it does not count as code of our own nets."""
    return importlib.import_module("touchstone.models.nets._library")


def _configs() -> ModuleType:
    """Import what knows the libraries' pretrained configurations, in the same way."""
    return importlib.import_module("touchstone.config.pretrained_config")


def _module(net: str) -> ModuleType:
    return importlib.import_module(f"touchstone.models.nets.{net}")


def head_of(net: str) -> str:
    """Return the name of the net's last module, which turns features into logits."""
    head: str = _of_library().head_of(net) if is_library_net(net) else _module(net).HEAD
    return head


def body_options(net: str, options: "dict[str, Option]") -> "dict[str, Option]":
    """Return the options that change more than the head."""
    of_head = () if is_library_net(net) else getattr(_module(net), "HEAD_OPTIONS", ())
    return {name: value for name, value in options.items() if name not in of_head}


def published_weights(net: str, weights: str, options: "dict[str, Option]") -> str:
    """Return the publisher's name of a net's weights.

    weights: imagenet, pretrained, or a version such as IMAGENET1K_V2. Raises TouchstoneError where there are none.
    """
    if is_library_net(net):
        source: str = _configs().pretrained_config(net, weights).source
        return source
    name = getattr(_module(net), "imagenet", None)
    if name is None:
        raise TouchstoneError(f"{net}: torchvision has no ImageNet weights for this net; set weights to none or a file")
    usual: str = name(**body_options(net, options))
    if weights in PUBLISHED:
        return usual
    from torchvision.models import get_weight

    kind = usual.split(".")[0]
    versions = type(get_weight(usual)).__members__
    if weights not in versions:
        raise TouchstoneError(
            f"weights: {net} has no {weights}; it has {', '.join(name for name in versions if name != 'DEFAULT')}"
            f"{nearest(weights, versions)}"
        )
    return f"{kind}.{weights}"


def check_option(net: str, name: str, value: object, choices: Iterable[object]) -> None:
    """Raise TouchstoneError unless the value of the option `name` is one of the choices."""
    if value not in choices:
        raise TouchstoneError(f"{net}: option {name}: got {value!r}, expected one of {', '.join(map(str, choices))}")


def check_size(net: str, input_size: int, *, least: int) -> None:
    """Raise TouchstoneError where the input is smaller than `least` px."""
    if input_size < least:
        raise TouchstoneError(
            f"{net}: got input_size {input_size} px, at least {least} px are needed; raise models.<name>.input_size"
        )
