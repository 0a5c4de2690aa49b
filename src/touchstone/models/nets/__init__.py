"""Nets, one per file: `models/nets/<net>.py` with `build(*, num_classes, in_channels, input_size, ...)`. No registry.

The other keyword arguments of `build` are the net's options, set by `models.<name>.options` in params.yaml. The file
also defines

    LEAST_PX       the smallest side of the input, in px
    HEAD           the name of the net's last module, which turns features into logits
    HEAD_OPTIONS   optional: the options that change only the head
    imagenet(...)  optional: torchvision's name of the weights trained on ImageNet
    ATTENDS        optional: True where the net is an `_attention.AttentiveResNet`
"""

import ast
import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from touchstone.errors import TouchstoneError, nearest, one_line

if TYPE_CHECKING:
    from torch import nn

    from touchstone.config.schema.model import Option

FOLDER = Path(__file__).parent
GIVEN = ("num_classes", "in_channels", "input_size")  # the arguments of build() that are not options


def nets() -> list[str]:
    """Return the names of all nets."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def file_of(net: str) -> Path:
    """Return the file of a net."""
    return FOLDER / f"{net}.py"


def check_net(key: str, net: str) -> None:
    """Raise TouchstoneError unless `net`, the value of `key` in params.yaml, has a file."""
    if net not in nets():
        raise TouchstoneError(
            f"{key}: no src/touchstone/models/nets/{net}.py; nets are {', '.join(nets())}{nearest(net, nets())}"
        )


def check_settings(key: str, net: str, *, input_size: int, options: Iterable[str]) -> None:
    """Raise TouchstoneError where the net cannot be built with these settings. Its file is read but not run."""
    check_net(key, net)
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
    constants = _read(net)[1]
    return "ATTENDS" in constants and ast.literal_eval(constants["ATTENDS"]) is True


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
    function = _module(net).build
    _check_options(net, options, inspect.signature(function).parameters)
    given = {"num_classes": num_classes, "in_channels": in_channels, "input_size": input_size}
    if not options:
        return function(**given)
    try:
        return function(**given, **options)
    except (TypeError, ValueError, RuntimeError) as error:  # libraries refuse values in different ways
        values = ", ".join(f"{name} {value!r}" for name, value in options.items())
        raise TouchstoneError(f"{net}: options {values}: {one_line(error)}; correct models.<name>.options") from error


def _module(net: str) -> ModuleType:
    return importlib.import_module(f"touchstone.models.nets.{net}")


def head_of(net: str) -> str:
    """Return the name of the net's last module, which turns features into logits."""
    return _module(net).HEAD


def body_options(net: str, options: "dict[str, Option]") -> "dict[str, Option]":
    """Return the options that change more than the head."""
    of_head = getattr(_module(net), "HEAD_OPTIONS", ())
    return {name: value for name, value in options.items() if name not in of_head}


def imagenet_weights(net: str, options: "dict[str, Option]") -> str:
    """Return torchvision's name of the net's ImageNet weights. Raises TouchstoneError where there are none."""
    name = getattr(_module(net), "imagenet", None)
    if name is None:
        raise TouchstoneError(f"{net}: torchvision has no ImageNet weights for this net; set weights to none or a file")
    return name(**body_options(net, options))


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
