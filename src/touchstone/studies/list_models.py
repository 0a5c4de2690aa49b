"""List nets by name: their parameters, operations, input, speed on this machine, and whether weights are at hand."""

import time
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from touchstone.config.net_names import PREFIXES, PUBLISHED, TIMM, TORCHVISION, is_library_net
from touchstone.config.pretrained_config import DOWNLOADS, names, pretrained_config
from touchstone.config.yaml import parse
from touchstone.errors import TouchstoneError, nearest
from touchstone.models import nets
from touchstone.report.table import Table, grid

MEASURED = 12  # nets at most whose speed is measured without being asked for
SHOWN = 60  # nets at most that are described; more are listed by their names
OWN_PX, IMAGENET_PX = 32, 224  # side of the input of our own small nets, and of those for ImageNet
TIMED = 4  # images of a timed batch
SECONDS = 0.5  # of timing a net, about


def matching(patterns: Sequence[str]) -> list[str]:
    """Return the names of all nets that match one of the patterns, ours first; without patterns, ours alone.

    A pattern without a library's prefix is sought in all libraries. Raises TouchstoneError where nothing matches.
    """
    every = nets.nets()
    if not patterns:
        return every
    if any(not pattern.startswith(TIMM) for pattern in patterns):
        every = every + names(TORCHVISION)
    try:
        every = every + names(TIMM)
    except TouchstoneError:
        if any(pattern.startswith(TIMM) for pattern in patterns):
            raise
    direct = [pattern for pattern in patterns if pattern.startswith(PREFIXES[2:])]
    tagged = {name.rpartition(".")[0] for name in every}  # a net of timm without a tag has the weights of one of them
    found = [name for name in every if _is_sought(name, patterns, tagged)]
    found += direct
    if not found:
        short = {name.split("/")[-1]: name for name in every}
        near = nearest(patterns[0].split("/")[-1].strip("*"), short)
        raise TouchstoneError(f"{' '.join(patterns)}: no net of ours, torchvision or timm has such a name{near}")
    return found


def _is_sought(name: str, patterns: Sequence[str], tagged: Collection[str]) -> bool:
    """Whether a pattern matches a name; one that has tags is listed where it is given in full, else with its tags."""
    if name in tagged:
        return any(pattern in (name, name.split("/")[-1]) for pattern in patterns)
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.split("/")[-1], pattern)


def mirror_of(params: Path) -> str:
    """Return `source.mirror` of a params.yaml, whatever else is wrong with it; "" where it has none."""
    try:
        source = parse(params.read_text(encoding="utf-8")).get("source", {})
    except (OSError, UnicodeDecodeError, TouchstoneError):  # it says nothing of a mirror
        return ""
    found = source.get("mirror", "") if isinstance(source, dict) else ""
    return found if isinstance(found, str) else ""


def described(found: Sequence[str], *, channels: int, mirror: str, speed: bool) -> str:
    """Describe nets in a table. speed: whether to measure them all; else up to MEASURED are."""
    if len(found) > SHOWN:
        return "\n".join([*found, f"{len(found)} nets; a narrower pattern shows their sizes and speeds"])
    timed = speed or len(found) <= MEASURED
    header = ["net", "parameters", "MACs", "input px", "images/s here", "weights", "licence"]
    rows = [_row(net, channels=channels, mirror=mirror, timed=timed) for net in found]
    return grid(Table("lrrrrll", header, rows))


def _row(net: str, *, channels: int, mirror: str, timed: bool) -> list[str]:
    weights, licence, side = "none", "", OWN_PX
    if is_library_net(net):
        try:
            config = pretrained_config(net, PUBLISHED[0])
        except TouchstoneError as error:
            if "no pretrained" not in str(error) and "it has none" not in str(error):
                raise
            side = IMAGENET_PX
        else:
            side, licence = config.input_px, config.licence or "not stated"
            held = _at_hand(config.url, config.repository, config.filename, config.folder, config.revision, mirror)
            weights = config.source.split("/")[-1] + (", at hand" if held else "")
    else:
        weights = _own_weights(net) or "none"
        side = IMAGENET_PX if weights != "none" else max(OWN_PX, nets.least_px(net))
    try:
        built = nets.outline(net, num_classes=1000, in_channels=channels, input_size=side, options={})
        macs = f"{_operations(built, channels, side) / 1e9:.2f} G"
    except (TouchstoneError, RuntimeError) as error:
        return [net, "", "", str(side), f"not built: {str(error)[:60]}", weights, licence]
    number = sum(parameter.numel() for parameter in built.parameters())
    return [
        net,
        f"{number:,}",
        macs,
        str(side),
        f"{_speed(net, channels, side):.1f}" if timed else "",
        weights,
        licence,
    ]


def _own_weights(net: str) -> str:
    try:
        return nets.published_weights(net, PUBLISHED[0], {})
    except TouchstoneError:
        return ""


def _at_hand(url: str, repository: str, filename: str, folder: str, revision: str, mirror: str) -> bool:
    """Return whether a file of weights needs no network."""
    if folder:
        return True
    places = [DOWNLOADS, *([Path(mirror)] if mirror and "://" not in mirror else [])]
    if url and not repository:
        import torch

        places.append(Path(torch.hub.get_dir()) / "checkpoints")
        return any((place / url.rsplit("/", 1)[1]).is_file() for place in places)
    from huggingface_hub import try_to_load_from_cache

    name = f"{repository.replace('/', '--')}.{filename}"
    cached = try_to_load_from_cache(repository, filename, revision=revision or None)
    return isinstance(cached, str) or any((place / name).is_file() for place in places)


def _operations(net: object, channels: int, side: int) -> float:
    """The multiplications and additions of an image, counted as pairs, without running it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    assert isinstance(net, torch.nn.Module)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.empty(1, channels, side, side, device="meta"))
    return counter.get_total_flops() / 2


def _speed(net: str, channels: int, side: int) -> float:
    """Images a second of predictions in batches of TIMED, in as many threads as torch takes."""
    import torch

    built = nets.build(net, num_classes=1000, in_channels=channels, input_size=side, options={}).eval()
    built = built.to(memory_format=torch.channels_last)
    images = torch.zeros(TIMED, channels, side, side).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        built(images)
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            built(images)
            count += TIMED
    return count / (time.perf_counter() - began)
