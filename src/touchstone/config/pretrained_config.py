"""Nets of torchvision and timm by name: which there are, and how their pretrained weights expect images.

torchvision/<name>                 any classifier of torchvision.models.list_models()
timm/<name>[.<tag>]                any model of timm, by the tag of its weights
hf-hub:<org>/<name>@<revision>     a model of timm on Hugging Face's hub, at a commit
local-dir:<folder>                 such a model in a folder: config.json, model.safetensors and README.md
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from touchstone.config.net_names import (
    FOLDER,
    HUB,
    PUBLISHED,
    TIMM,
    TORCHVISION,
    VERSION,
    is_library_net,
    is_published,
)
from touchstone.errors import TouchstoneError, nearest, one_line
from touchstone.hub import Hub

COMMIT = re.compile(r"[0-9a-f]{40}")
TRANSFORMED = ("googlenet", "inception_v3")  # their weights expect pixels from -1 to 1
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
DOWNLOADS = Path(".touchstone/downloads")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos")


@dataclass(frozen=True)
class PretrainedConfig:
    """The input that pretrained weights expect, and the place they come from."""

    source: str
    """The publisher's name of the weights."""
    input_px: int
    """Side of the net's input in px."""
    mean: tuple[float, ...]
    """Per channel, in [0, 1]."""
    std: tuple[float, ...]
    """Per channel, in [0, 1]."""
    interpolation: str
    """bilinear, bicubic or lanczos."""
    crop_share: float
    """Share of the side that the central crop keeps."""
    licence: str = ""
    """As the publisher names it, or ""."""
    url: str = ""
    """The address of the file of weights; "" where the hub or a folder has it."""
    repository: str = ""
    """On the hub."""
    revision: str = ""
    """The commit, or "" for the newest one."""
    filename: str = ""
    """In the repository."""
    folder: str = ""
    """The folder that holds the files."""


def library(net: str) -> str:
    """Return the package that builds the net."""
    return "torchvision" if net.startswith(TORCHVISION) else "timm"


def names(prefix: str) -> list[str]:
    """Return all names of nets of a library, with their prefix. Raises TouchstoneError where timm is missing."""
    if prefix == TORCHVISION:
        from torchvision import models

        return [TORCHVISION + name for name in sorted(models.list_models(module=models))]
    timm = import_timm()
    return [TIMM + name for name in sorted({*timm.list_models(), *timm.list_pretrained()})]


def import_timm() -> Any:
    """Import timm. Raises TouchstoneError where it is missing."""
    try:
        import timm
    except ImportError:
        raise TouchstoneError("nets of timm need timm; install it with pip install 'touchstone[timm]'") from None
    return timm


def check_name(key: str, net: str) -> None:
    """Raise TouchstoneError, with the nearest name, where a library has no such net. key: of params.yaml."""
    if net.startswith(FOLDER):
        _folder(net)
    elif net.startswith(HUB):
        _repository(net)
    else:
        prefix = TORCHVISION if net.startswith(TORCHVISION) else TIMM
        every = names(prefix)
        if net not in every:
            raise TouchstoneError(f"{key}: {library(net)} has no {net.removeprefix(prefix)}{_near(net, every)}")


def _near(net: str, every: list[str]) -> str:
    """Name the nearest net, of the same architecture where that is right and only its tag is not."""
    same = [name for name in every if name.startswith(net.split(".")[0] + ".")]
    if same:
        return f"; its tags are {', '.join(name.split('.', 1)[1] for name in same[:8])}"
    return nearest(net, every) or f"; `touchstone models '{net.split('/')[0]}/*'` lists them"


def architecture(net: str) -> tuple[str, dict[str, Any]]:
    """Return timm's name of a net and the arguments that build it. Raises TouchstoneError as `pretrained_config`."""
    if net.startswith(TIMM):
        return net.removeprefix(TIMM), {}
    content = _content(net)
    arguments = content.get("model_args", {})
    if not isinstance(content.get("architecture"), str) or not isinstance(arguments, dict):
        raise TouchstoneError(f"{net}: {CONFIG} names no architecture of timm; choose a model that timm has written")
    timm = import_timm()
    name = content["architecture"]
    if not timm.is_model(name):
        raise TouchstoneError(f"{net}: timm has no {name}{nearest(name, timm.list_models())}")
    return name, arguments


@cache
def pretrained_config(net: str, weights: str) -> PretrainedConfig:
    """Return how a net's weights expect images. weights: pretrained, imagenet, or a version such as IMAGENET1K_V2.

    Raises TouchstoneError where there are no such weights, or the model's card cannot be had.
    """
    if net.startswith(TORCHVISION):
        return _of_torchvision(net, weights)
    if VERSION.fullmatch(weights):
        raise TouchstoneError(
            f"weights: got {weights}; weights of timm are chosen by the net's tag, such as timm/NAME.TAG"
        )
    if net.startswith(TIMM):
        return _of_timm(net)
    content = _content(net)
    values = content.get("pretrained_cfg", content)
    if not isinstance(values, dict) or not {"mean", "std", "input_size"} <= values.keys():
        raise TouchstoneError(f"{net}: {CONFIG} has no pretrained_cfg with mean, std and input_size; add it")
    place = {"folder": str(_folder(net))} if net.startswith(FOLDER) else {}
    if net.startswith(HUB):
        repository, revision = _repository(net)
        place = {"repository": repository, "revision": revision, "filename": WEIGHTS}
    return _config(net, values, licence=values.get("license") or _licence(net), **place)


def expected_statistics(net: str, weights: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return the mean and standard deviation per channel, in [0, 1], that a library's net expects; None for others."""
    if not is_library_net(net):
        return None
    found = pretrained_config(net, weights if is_published(weights) else PUBLISHED[0])
    return found.mean, found.std


def _of_torchvision(net: str, weights: str) -> PretrainedConfig:
    from torchvision import models

    check_name("net", net)
    versions = models.get_model_weights(net.removeprefix(TORCHVISION))
    wanted = "DEFAULT" if weights in PUBLISHED else weights
    if not len(versions) or wanted not in versions.__members__:
        given = ", ".join(version.name for version in versions) or "none"
        raise TouchstoneError(
            f"weights: {net} has no {weights}; it has {given}{nearest(weights, versions.__members__)}"
        )
    found = versions[wanted]
    shown = cast(Any, found.transforms())
    side, whole = int(shown.crop_size[0]), int(shown.resize_size[0])
    halves = ((0.5,) * 3,) * 2
    mean, std = halves if net.removeprefix(TORCHVISION) in TRANSFORMED else (shown.mean, shown.std)
    licence = found.meta.get("license", "")
    return PretrainedConfig(
        source=str(found), input_px=side, mean=tuple(mean), std=tuple(std), interpolation=shown.interpolation.value,
        crop_share=min(1.0, round(side / whole, 4)), licence=licence, url=found.url,
    )  # fmt: skip


def _of_timm(net: str) -> PretrainedConfig:
    name = net.removeprefix(TIMM)
    check_name("net", net)
    found = import_timm().get_pretrained_cfg(name)
    if found is None or not (found.hf_hub_id or found.url):
        raise TouchstoneError(f"weights: {net} has no pretrained weights in timm; set weights to none, or name a file")
    place = {"url": found.url or ""}
    if found.hf_hub_id:
        place = {"repository": found.hf_hub_id, "filename": found.hf_hub_filename or WEIGHTS}
    values = found.to_dict()
    tag = f".{found.tag}" if found.tag and "." not in name else ""
    return _config(net + tag, values, licence=values.get("license") or "", **place)


def _config(source: str, values: dict[str, Any], *, licence: str, **place: str) -> PretrainedConfig:
    return PretrainedConfig(
        source=source,
        input_px=int(values["input_size"][-1]),
        mean=tuple(float(value) for value in values["mean"]),
        std=tuple(float(value) for value in values["std"]),
        interpolation=_interpolation(source, str(values.get("interpolation") or "bicubic")),
        crop_share=float(values.get("crop_pct") or 0.875),  # timm's default, as that of the interpolation
        licence=licence,
        **place,
    )


def _interpolation(source: str, name: str) -> str:
    if name == "random":  # bilinear or bicubic, in training
        return "bicubic"
    if name not in INTERPOLATIONS:
        raise TouchstoneError(f"{source}: interpolation {name}, expected one of {', '.join(INTERPOLATIONS)}")
    return name


def _content(net: str) -> dict[str, Any]:
    """Return the configuration beside a model's weights."""
    file = _folder(net) / CONFIG if net.startswith(FOLDER) else hub_file(net, CONFIG)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TouchstoneError(
            f"{net}: {CONFIG} cannot be read ({one_line(error)}); put the whole model there"
        ) from None
    if not isinstance(content, dict):
        raise TouchstoneError(f"{net}: {CONFIG}: expected a mapping; put the whole model there")
    return content


def hub_file(net: str, name: str) -> Path:
    """Fetch a file of a model on the hub. Raises TouchstoneError where that cannot be had."""
    repository, revision = _repository(net)
    return hub(net, repository, revision).get(name)


@cache
def hub(key: str, repository: str, revision: str) -> Hub:
    """Open a repository at a commit."""
    return Hub(key, repository, revision, downloads=DOWNLOADS)


def _licence(net: str) -> str:
    """Return the licence that the head of a model's card names, or ""."""
    if net.startswith(FOLDER):
        card = _folder(net) / CARD
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    else:
        repository, revision = _repository(net)
        opened = hub(net, repository, revision)
        text = opened.get(CARD).read_text(encoding="utf-8", errors="replace") if CARD in opened.paths else ""
    head = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*[\"']?([^\"'\n#]+)", head[1], re.M) if head else None
    return found[1].strip() if found else ""


def _folder(net: str) -> Path:
    folder = Path(net.removeprefix(FOLDER))
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise TouchstoneError(f"{net}: no {missing[0]} in {folder}; put the model there as timm saves it")
    return folder


def _repository(net: str) -> tuple[str, str]:
    repository, at, revision = net.removeprefix(HUB).partition("@")
    if not COMMIT.fullmatch(revision):
        raise TouchstoneError(
            f"{net}: a model of the hub is named with its commit, as {HUB}{repository}@ and 40 digits from its list of "
            f"commits: {'a branch or a tag can move' if at else 'the newest one can change'}"
        )
    return repository, revision
