"""One net a file: `models/<net>.py` with `build(*, num_classes, in_channels, input_size, ...)`. No registry.

Further keyword arguments of `build` are the net's options, set by `models.<name>.options` in params.yaml.
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
GIVEN = ("num_classes", "in_channels", "input_size")


def nets() -> list[str]:
    """The names of all nets."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def check_net(model: str, net: str) -> None:
    """Raise TouchstoneError unless `net`, named by `models.<model>`, has a file. Imports nothing heavy."""
    if net not in nets():
        raise TouchstoneError(
            f"models.{model}: no src/touchstone/models/{net}.py; nets are {', '.join(nets())}{nearest(net, nets())}"
        )


def check_settings(model: str, net: str, *, input_size: int, options: Iterable[str]) -> None:
    """Raise TouchstoneError where the net's file says that it cannot be built so. Reads the file, runs nothing."""
    check_net(model, net)
    tree = ast.parse((FOLDER / f"{net}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "LEAST_PX":
            check_size(net, input_size, least=ast.literal_eval(node.value))
        if isinstance(node, ast.FunctionDef) and node.name == "build":
            _check_options(net, options, [argument.arg for argument in node.args.kwonlyargs])


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
    options: dict[str, int | float | bool | str],
) -> "nn.Module":
    """The net, its weights drawn from torch's global generator.

    Raises TouchstoneError on an unknown net, a size or an option that it lacks.
    """
    check_net(net, net)
    function = importlib.import_module(f"touchstone.models.{net}").build
    _check_options(net, options, inspect.signature(function).parameters)
    return function(num_classes=num_classes, in_channels=in_channels, input_size=input_size, **options)


def check_size(net: str, input_size: int, *, least: int) -> None:
    """Raise TouchstoneError where the input is smaller than the net's geometry allows."""
    if input_size < least:
        raise TouchstoneError(
            f"{net}: got input_size {input_size} px, at least {least} px are needed; raise models.<name>.input_size"
        )
