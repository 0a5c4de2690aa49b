"""One net a file: `models/<net>.py` with `build(*, num_classes, in_channels, input_size, ...)`. No registry.

Further keyword arguments of `build` are the net's options, set by `models.<name>.options` in params.yaml.
"""

import importlib
import inspect
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
    known = [name for name in inspect.signature(function).parameters if name not in GIVEN]
    for name in options:
        if name not in known:
            raise TouchstoneError(
                f"{net}: unknown option {name!r}; options are {', '.join(known) or 'none'}{nearest(name, known)}"
            )
    return function(num_classes=num_classes, in_channels=in_channels, input_size=input_size, **options)


def check_size(net: str, input_size: int, *, least: int) -> None:
    """Raise TouchstoneError where the input is smaller than the net's geometry allows."""
    if input_size < least:
        raise TouchstoneError(
            f"{net}: got input_size {input_size} px, at least {least} px are needed; raise models.<name>.input_size"
        )
