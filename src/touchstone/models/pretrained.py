"""Weights to start from: fetched or read, checked against the net, kept without its head.

The head is of one's own classes and always drawn anew; everything before it must be in the file, and fit.
"""

import hashlib
import pickle
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from touchstone.config.model import Model
from touchstone.data.fetch import fetch
from touchstone.errors import TouchstoneError
from touchstone.models.nets import head_of, imagenet_weights
from touchstone.models.origin import Tensors, check_file, read_origin
from touchstone.models.plan import outline

WRAPPERS = ("state_dict", "model")  # keys under which training scripts keep the weights
SHOWN = 3  # names of a mismatch


def write_body(to: Path, model: Model, *, channels: int, old: Path, mirror: str, downloads: Path) -> str:
    """Write the weights that `model.weights` names to `to`, checked against the model's net, without its head.

    imagenet: torchvision's file, from `mirror` (a directory or URL) where that is not "", or from its official address,
    kept in `downloads`; not needed where the note `old` of an earlier run has the same. Returns torchvision's name of
    them, "" for a file of one's own. Raises TouchstoneError where they cannot be had, read or do not fit.
    """
    source = imagenet_weights(model.net, model.options) if model.weights == "imagenet" else ""
    tensors, file = (None if model.weights_sha256 else _kept(old, source)), old  # a hash is asked of the file itself
    if tensors is None:
        file = _fetched(source, mirror=mirror, downloads=downloads) if source else Path(model.weights)
        check_file(file)
        _check_hash(file, model.weights_sha256)
        tensors = read_tensors(file)
    net = outline(model, channels=channels)
    safetensors.torch.save_file(body(tensors, net, head=head_of(model.net), file=file, net_name=model.net), to)
    return source


def _kept(old: Path, source: str) -> Tensors | None:
    """ImageNet's weights of an earlier run, or None."""
    if not source or not old.exists():
        return None
    try:
        origin, tensors = read_origin(old)
    except TouchstoneError:  # damaged: fetched anew
        return None
    return tensors if origin.source == source else None


def read_tensors(file: Path) -> Tensors:
    """The state dict in a .safetensors, .pth or .pt file; nothing in it is ever executed.

    Raises TouchstoneError where the file is missing, truncated, not of these formats or holds more than tensors.
    """
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load(file.read_bytes())
        if file.suffix not in (".pth", ".pt"):
            raise TouchstoneError(f"{file}: got {file.suffix or 'no suffix'}, expected .safetensors, .pth or .pt")
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except TouchstoneError:
        raise
    except pickle.UnpicklingError as error:
        raise TouchstoneError(f"{file}: damaged, or holds more than tensors, which is never loaded") from error
    except Exception as error:  # the reader of a damaged file raises whatever its bytes lead it to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TouchstoneError(f"{file}: no readable weights ({reason}); put the whole file there") from error
    for key in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise TouchstoneError(f"{file}: expected a state dict, names and tensors, and nothing else")
    return dict(found)


def body(tensors: Tensors, net: nn.Module, *, head: str, file: Path, net_name: str) -> Tensors:
    """Of `tensors` what comes before the net's head, in the net's order.

    Batch norms of old files lack `num_batches_tracked`: 0 then. Raises TouchstoneError on missing, unknown or
    differently shaped tensors, as those of another architecture.
    """
    wanted = {name: value for name, value in net.state_dict().items() if not name.startswith(head + ".")}
    given = {name: value for name, value in tensors.items() if not name.startswith(head.split(".")[0] + ".")}
    given |= {name: tensors[name] for name in wanted if name in tensors}
    for name, value in wanted.items():
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, torch.zeros(value.shape, dtype=value.dtype))
    problems = {
        "missing": [name for name in wanted if name not in given],
        "unknown": sorted(name for name in given if name not in wanted),
        "of another shape": [
            f"{name} {tuple(given[name].shape)}, not {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in given and given[name].shape != value.shape
        ],
    }
    found = [f"{len(names)} {kind} ({_some(names)})" for kind, names in problems.items() if names]
    if found:
        raise TouchstoneError(f"{file}: not weights of {net_name} with its options: {'; '.join(found)}")
    return {name: given[name].detach().contiguous().clone() for name in wanted}


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _check_hash(file: Path, sha256: str) -> None:
    if sha256 and (got := hashlib.sha256(file.read_bytes()).hexdigest()) != sha256:
        raise TouchstoneError(f"{file}: got sha256 {got}, expected weights_sha256 {sha256}; the file is another one")


def _fetched(source: str, *, mirror: str, downloads: Path) -> Path:
    """torchvision names a file after the first digits of its sha256, and so does every mirror of it."""
    from torchvision.models import get_weight

    url = get_weight(source).url
    name = url.rsplit("/", 1)[1]
    digits = re.search(r"-([0-9a-f]{8,})\.", name)
    assert digits, f"{name}: no hash in the name"
    return fetch(name, to=downloads / name, url=url, mirror=mirror, sha256=digits[1])
