"""Files of pretrained weights: fetched or read, checked against the net, and kept without its head.

The head starts at random, since its classes are the user's own; everything before it must be in the file and fit.
"""

import hashlib
import pickle
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from touchstone.config.schema.model import Model
from touchstone.data.fetch import fetch
from touchstone.errors import TouchstoneError
from touchstone.models.initial_weights import EVERY_SEED, Tensors, check_fit, load_initial_weights, outline
from touchstone.models.nets import head_of, imagenet_weights

WRAPPERS = ("state_dict", "model")  # keys under which training scripts keep the weights


def write_body(to: Path, model: Model, *, channels: int, old: Path, mirror: str, downloads: Path) -> str:
    """Write the weights that `model.weights` names to `to`, checked against the model's net, without its head.

    imagenet takes torchvision's file from `mirror` (a folder or URL; "" for its official address) and keeps it in
    `downloads`, unless the note `old` of an earlier run has the same weights. Returns torchvision's name of the
    weights, or "" for the user's own file. Raises TouchstoneError where they cannot be fetched or read, or do not fit.
    """
    source = imagenet_weights(model.net, model.options) if model.weights == "imagenet" else ""
    file = old
    tensors = None if model.weights_sha256 else _earlier(old, source)  # a given hash is that of the original file
    if tensors is None:
        file = _fetch(source, mirror=mirror, downloads=downloads) if source else Path(model.weights)
        check_file(file)
        expected = model.weights_sha256
        if expected and (got := hashlib.sha256(file.read_bytes()).hexdigest()) != expected:
            raise TouchstoneError(f"{file}: got sha256 {got}, expected weights_sha256 {expected}; this is another file")
        tensors = read_tensors(file)
    net = outline(model, channels=channels)
    safetensors.torch.save_file(body(tensors, net, head=head_of(model.net), file=file, net_name=model.net), to)
    return source


def _earlier(old: Path, source: str) -> Tensors | None:
    """Return the ImageNet weights of an earlier run of the stage, or None."""
    if not source or not old.exists():
        return None
    try:
        weights = load_initial_weights(old)
    except TouchstoneError:  # damaged: fetched again
        return None
    return weights.tensors.get(EVERY_SEED) if weights.source == source else None


def read_tensors(file: Path) -> Tensors:
    """Read the state dict in a .safetensors, .pth or .pt file; nothing in it is ever executed.

    Raises TouchstoneError where the file is missing, truncated, not of these formats or holds more than tensors.
    """
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load(file.read_bytes())
        if file.suffix not in (".pth", ".pt"):
            raise TouchstoneError(f"{file}: got {file.suffix or 'no suffix'}, expected .safetensors, .pth or .pt")
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except TouchstoneError:
        raise
    except pickle.UnpicklingError as error:
        raise TouchstoneError(f"{file}: damaged, or holds more than tensors, which is never loaded") from error
    except Exception as error:  # the reader of a damaged file raises whatever its bytes lead it to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TouchstoneError(f"{file}: no readable weights ({reason}); put the whole file there") from error
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise TouchstoneError(f"{file}: expected a state dict, names and tensors, and nothing else")
    return dict(content)


def body(tensors: Tensors, net: nn.Module, *, head: str, file: Path, net_name: str) -> Tensors:
    """Return the tensors of everything before the net's head, in the net's order.

    `num_batches_tracked`, which old files lack, is then 0. Raises TouchstoneError on tensors that are missing, unknown
    or of another shape.
    """
    expected = {name: value for name, value in net.state_dict().items() if not name.startswith(head + ".")}
    given = {name: value for name, value in tensors.items() if not name.startswith(head.split(".")[0] + ".")}
    given |= {name: tensors[name] for name in expected if name in tensors}
    for name, value in expected.items():
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, torch.zeros(value.shape, dtype=value.dtype))
    check_fit(given, expected, source=str(file), net_name=net_name, complete=True)
    return {name: given[name].detach().contiguous().clone() for name in expected}


def check_file(weights: Path) -> None:
    """Raise TouchstoneError where there is no such file."""
    if not weights.is_file():
        raise TouchstoneError(f"{weights}: no such file; put the weights there, or set weights to none or imagenet")


def _fetch(source: str, *, mirror: str, downloads: Path) -> Path:
    """Fetch torchvision's file, whose name holds the first digits of its sha256."""
    from torchvision.models import get_weight

    url = get_weight(source).url
    name = url.rsplit("/", 1)[1]
    digits = re.search(r"-([0-9a-f]{8,})\.", name)
    assert digits, f"{name}: no hash in the name"
    return fetch(name, to=downloads / name, url=url, mirror=mirror, sha256=digits[1])
