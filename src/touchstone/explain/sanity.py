"""The sanity check of attributions by randomised weights (Adebayo 2018, arXiv 1810.03292).

From the last layer to the first, weights are replaced by those of an untrained net, stage after stage. A map that stays
the same whatever the weights shows the image's edges, not what the net has learned.
"""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import stats
from torch import nn

from touchstone.explain.separation import called


def cascade(
    net: nn.Module, untrained: nn.Module, example: torch.Tensor, *, stages: int
) -> Iterator[tuple[int, nn.Module]]:
    """(layers replaced so far, net) after each of at most `stages` stages, the last of which leaves none as it was.

    net, untrained: of the same architecture. example: (B, C, H, W), which tells in which order layers are called.
    """
    names = {module: name for name, module in net.named_modules()}
    weighted = [module for module in called(net, example) if list(module.parameters())]
    layers = list(dict.fromkeys(names[module] for module in weighted))
    made = copy.deepcopy(net)
    replaced = 0
    for part in np.array_split(layers[::-1], min(stages, len(layers))):
        for name in part:
            made.get_submodule(name).load_state_dict(untrained.get_submodule(name).state_dict())
        replaced += len(part)
        yield replaced, made


def likeness(maps: np.ndarray, others: np.ndarray) -> float:
    """Spearman's rank correlation of absolute values, the mean over the images; (B, H, W) twice. NaN where a map of
    each pair is the same everywhere."""
    found = []
    for one, other in zip(np.abs(maps), np.abs(others), strict=True):
        if np.ptp(one) and np.ptp(other):
            found.append(float(stats.spearmanr(one.ravel(), other.ravel()).statistic))
    return float(np.mean(found)) if found else float("nan")


def sanity(
    maps: dict[str, np.ndarray],
    again: Callable[[nn.Module], dict[str, np.ndarray]],
    nets: Iterator[tuple[int, nn.Module]],
) -> list[dict[str, float | str]]:
    """method, layers, likeness: how like its own map each method's is after each stage, at 0 layers 1.

    again: a net -> the maps (B, H, W) of each method, attributed in the same manner.
    """
    rows: list[dict[str, float | str]] = [{"method": name, "layers": 0, "likeness": 1.0} for name in maps]
    for layers, net in nets:
        rows += [
            {"method": name, "layers": layers, "likeness": likeness(maps[name], found)}
            for name, found in again(net).items()
        ]
    return rows
