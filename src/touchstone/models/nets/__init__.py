"""One net a file: `models/nets/<net>.py` with `build(*, num_classes, in_channels, input_size, ...)`. No registry.

Further keyword arguments of `build` are the net's options, set by `models.<name>.options` in params.yaml. Beside it
stand LEAST_PX, the least input; HEAD, the name of the net's last module, which turns features into logits; and, where
there are any, HEAD_OPTIONS, the options that change the head alone, `imagenet(...)`, torchvision's name of the weights
trained on ImageNet, and ATTENDS, that the net is an `attention.AttentiveResNet`.
"""

import ast
import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from touchstone.errors import TouchstoneError, nearest

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parent
Option = int | float | bool | str

GIVEN = ("num_classes", "in_channels", "input_size")


def nets() -> list[str]:
    """The names of all nets."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def check_net(key: str, net: str) -> None:
    """Raise TouchstoneError unless `net`, named by `key` of params.yaml, has a file. Imports nothing heavy."""
    if net not in nets():
        raise TouchstoneError(
            f"{key}: no src/touchstone/models/nets/{net}.py; nets are {', '.join(nets())}{nearest(net, nets())}"
        )


def check_settings(key: str, net: str, *, input_size: int, options: Iterable[str]) -> None:
    """Raise TouchstoneError where the net's file says that it cannot be built so. Reads the file, runs nothing."""
    check_net(key, net)
    tree, constants = _read(net)
    if "HEAD" not in constants:
        raise TouchstoneError(f"{net}: no HEAD in src/touchstone/models/nets/{net}.py; name its last module there")
    if "LEAST_PX" in constants:
        check_size(net, input_size, least=ast.literal_eval(constants["LEAST_PX"]))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            _check_options(net, options, [argument.arg for argument in node.args.kwonlyargs])


def attends(net: str) -> bool:
    """Whether the net's file says ATTENDS = True: it has a block of attention. Reads the file, runs nothing."""
    constants = _read(net)[1]
    return "ATTENDS" in constants and ast.literal_eval(constants["ATTENDS"]) is True


def _read(net: str) -> tuple[ast.Module, dict[str, ast.expr]]:
    """A net's source, and the values of its constants."""
    tree = ast.parse((FOLDER / f"{net}.py").read_text(encoding="utf-8"))
    return tree, {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _check_options(net: str, options: Iterable[str], arguments: Iterable[str]) -> None:
    known = [name for name in arguments if name not in GIVEN]
    for name in options:
        if name not in known:
            raise TouchstoneError(
                f"{net}: unknown option {name!r}; options are {', '.join(known) or 'none'}{nearest(name, known)}"
            )


def build(
    net: str,
    *,
    num_classes: int,
    in_channels: int,
    input_size: int,
    options: dict[str, Option],
) -> "nn.Module":
    """The net, its weights drawn from torch's global generator.

    Raises TouchstoneError on an unknown net, a size or an option that it lacks.
    """
    check_net(net, net)
    function = importlib.import_module(f"touchstone.models.nets.{net}").build
    _check_options(net, options, inspect.signature(function).parameters)
    given = {"num_classes": num_classes, "in_channels": in_channels, "input_size": input_size}
    if not options:
        return function(**given)
    try:
        return function(**given, **options)
    except (TypeError, ValueError, RuntimeError) as error:  # each library has its own way to refuse a value
        said = ", ".join(f"{name} {value!r}" for name, value in options.items())
        raise TouchstoneError(
            f"{net}: options {said}: {' '.join(str(error).split())}; mend models.<name>.options"
        ) from error


def head_of(net: str) -> str:
    """The name of the net's last module, whose input are its features and whose output are the logits."""
    return importlib.import_module(f"touchstone.models.nets.{net}").HEAD


def body_options(net: str, options: dict[str, Option]) -> dict[str, Option]:
    """The options that change more than the head."""
    of_head = getattr(importlib.import_module(f"touchstone.models.nets.{net}"), "HEAD_OPTIONS", ())
    return {name: value for name, value in options.items() if name not in of_head}


def imagenet_weights(net: str, options: dict[str, Option]) -> str:
    """torchvision's name of the net's ImageNet weights. Raises TouchstoneError where there are none."""
    name = getattr(importlib.import_module(f"touchstone.models.nets.{net}"), "imagenet", None)
    if name is None:
        raise TouchstoneError(f"{net}: torchvision has no ImageNet weights for this net; set weights to none or a file")
    return name(**body_options(net, options))


def check_option(net: str, name: str, value: object, known: Iterable[object]) -> None:
    """Raise TouchstoneError unless `value` is among those that the option `name` can have."""
    if value not in known:
        raise TouchstoneError(f"{net}: option {name}: got {value!r}, expected one of {', '.join(map(str, known))}")


def check_size(net: str, input_size: int, *, least: int) -> None:
    """Raise TouchstoneError where the input is smaller than the net's geometry allows."""
    if input_size < least:
        raise TouchstoneError(
            f"{net}: got input_size {input_size} px, at least {least} px are needed; raise models.<name>.input_size"
        )
