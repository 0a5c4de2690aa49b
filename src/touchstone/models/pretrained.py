"""Files of pretrained weights: fetched or read, checked against the net, and kept without its head.

The head starts at random, since its classes are the user's own; everything before it must be in the file and fit.
"""

import hashlib
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from touchstone.config.net_names import is_library_net, is_published
from touchstone.config.pretrained_config import WEIGHTS, PretrainedConfig, pretrained_config
from touchstone.config.schema.model import Model
from touchstone.data.fetch import fetch
from touchstone.errors import TouchstoneError
from touchstone.hub import Hub
from touchstone.models.initial_weights import (
    EVERY_SEED,
    InitialWeights,
    Tensors,
    check_fit,
    load_initial_weights,
    outline,
)
from touchstone.models.nets import head_of, published_weights

WRAPPERS = ("state_dict", "model")  # keys under which training scripts keep the weights


@dataclass(frozen=True)
class Origin:
    """The origin of a model's weights."""

    source: str
    """The publisher's name of the weights; "" for a file of one's own."""
    licence: str
    """As the publisher names it, or ""."""
    file_sha256: str
    """The hash of the file that was read."""


def write_body(to: Path, model: Model, *, channels: int, old: Path, mirror: str, downloads: Path) -> Origin:
    """Write the weights that `model.weights` names to `to`, checked against the model's net, without its head.

    A publisher's weights are taken from `mirror` (a folder or URL; "" for their official address or the hub's cache)
    and kept in `downloads`, unless the note `old` of an earlier run has the same weights. Raises TouchstoneError where
    they cannot be fetched or read, do not fit, or are other ones than before.
    """
    published = is_published(model.weights)
    source = published_weights(model.net, model.weights, model.options) if published else ""
    config = pretrained_config(model.net, model.weights) if published and is_library_net(model.net) else None
    licence = config.licence if config else ""
    earlier = _earlier(old, source)
    if earlier is not None and not model.weights_sha256 and not is_library_net(model.net):
        tensors, sha256, file = earlier.tensors[EVERY_SEED], earlier.file_sha256, old
    else:
        file = _file(model, source, config, mirror=mirror, downloads=downloads)
        check_file(file)
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        if model.weights_sha256 not in ("", sha256):
            raise TouchstoneError(
                f"{file}: got sha256 {sha256}, expected weights_sha256 {model.weights_sha256}; this is another file"
            )
        if earlier is not None and earlier.file_sha256 not in ("", sha256) and not model.weights_sha256:
            raise TouchstoneError(
                f"{source}: its file has sha256 {sha256}, and had {earlier.file_sha256}: the revision has moved; set "
                "weights_sha256 to the one that you want"
            )
        tensors = read_tensors(file)
    if is_library_net(model.net):
        from touchstone.models.nets import _library

        shape: Any = {"in_channels": channels, "input_size": model.input_size, "options": model.options}
        tensors = _library.fitted(model.net, tensors, **shape)
    net = outline(model, channels=channels)
    safetensors.torch.save_file(body(tensors, net, head=head_of(model.net), file=file, net_name=model.net), to)
    return Origin(source, licence, sha256)


def _file(model: Model, source: str, config: PretrainedConfig | None, *, mirror: str, downloads: Path) -> Path:
    """Return the file of a model's weights, fetched where it is a publisher's."""
    if not source:
        return Path(model.weights)
    if config is None or (config.url and not config.repository):
        return _fetch(source, config.url if config else "", mirror=mirror, downloads=downloads)
    if config.folder:
        return Path(config.folder) / WEIGHTS
    return _from_hub(config, mirror=mirror, downloads=downloads)


def _from_hub(config: PretrainedConfig, *, mirror: str, downloads: Path) -> Path:
    """Return a file of the hub: from a folder that mirrors it, Hugging Face's cache, or the hub itself."""
    name = f"{config.repository.replace('/', '--')}.{config.filename}"
    if mirror and not mirror.lower().startswith(("http://", "https://")):
        if not (Path(mirror) / name).is_file():
            raise TouchstoneError(
                f"{mirror}: no {name}; put {config.filename} of {config.repository} there by that name"
            )
        return Path(mirror) / name
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(config.repository, config.filename, revision=config.revision or None)
    if isinstance(cached, str):
        return Path(cached)
    return Hub("weights", config.repository, config.revision, downloads=downloads).get(config.filename)


def _earlier(old: Path, source: str) -> InitialWeights | None:
    """Return the publisher's weights of an earlier run of the stage, or None."""
    if not source or not old.exists():
        return None
    try:
        weights = load_initial_weights(old)
    except TouchstoneError:  # damaged: fetched again
        return None
    return weights if weights.source == source and EVERY_SEED in weights.tensors else None


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


def _fetch(source: str, url: str, *, mirror: str, downloads: Path) -> Path:
    """Fetch a file of torchvision or timm, whose name holds the first digits of its sha256."""
    if not url:
        from torchvision.models import get_weight

        url = get_weight(source).url
    name = url.rsplit("/", 1)[1]
    digits = re.search(r"-([0-9a-f]{8,})\.", name)
    if digits is None:
        raise TouchstoneError(
            f"{source}: {name} has no hash in its name, by which to check it; download it, and name the file in "
            "weights, with weights_sha256"
        )
    return fetch(name, to=downloads / name, url=url, mirror=mirror, sha256=digits[1])
