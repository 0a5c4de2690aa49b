"""The sanity check of attributions by randomised weights (Adebayo 2018, arXiv 1810.03292).

From the last layer to the first, weights are replaced by those of an untrained net, stage after stage. A map that does
not depend on the weights shows the image's edges, not what the net has learned.
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
    """Yield (layers replaced so far, net) after each of at most `stages` stages; after the last, all are replaced.

    net, untrained: of the same architecture. example: (B, C, H, W), passed through the net to see the order of layers.
    """
    names = {module: name for name, module in net.named_modules()}
    weighted = [module for module in called(net, example) if list(module.parameters())]
    layers = list(dict.fromkeys(names[module] for module in weighted))
    randomised = copy.deepcopy(net)
    replaced = 0
    for part in np.array_split(layers[::-1], min(stages, len(layers))):
        for name in part:
            randomised.get_submodule(name).load_state_dict(untrained.get_submodule(name).state_dict())
        replaced += len(part)
        yield replaced, randomised


def likeness(maps: np.ndarray, others: np.ndarray) -> float:
    """Spearman's rank correlation of absolute values, maps (B, H, W) twice, as the mean over the images.

    Pairs with a constant map are left out; NaN where no pair remains.
    """
    correlations = []
    for one, other in zip(np.abs(maps), np.abs(others), strict=True):
        if np.ptp(one) and np.ptp(other):
            correlations.append(float(stats.spearmanr(one.ravel(), other.ravel()).statistic))
    return float(np.mean(correlations)) if correlations else float("nan")


def sanity(
    maps: dict[str, np.ndarray],
    maps_of: Callable[[nn.Module], dict[str, np.ndarray]],
    nets: Iterator[tuple[int, nn.Module]],
) -> list[dict[str, float | str]]:
    """Rows of method, layers, likeness: each method's likeness to its own map after each stage; 1 at 0 layers.

    maps: method -> (B, H, W). maps_of: net -> the same, attributed in the same way. nets: see `cascade`.
    """
    rows: list[dict[str, float | str]] = [{"method": name, "layers": 0, "likeness": 1.0} for name in maps]
    for layers, net in nets:
        rows += [
            {"method": name, "layers": layers, "likeness": likeness(maps[name], others)}
            for name, others in maps_of(net).items()
        ]
    return rows
