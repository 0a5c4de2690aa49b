"""The sanity check of attributions by randomised weights (Adebayo 2018, arXiv 1810.03292).

Stage by stage, from the last layer to the first, weights are replaced by those of an untrained net. A map that does not
change shows the image's edges, not what the net has learned.
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

    net, untrained: two nets of one architecture. example: (B, C, H, W), passed through the net to find the order of its
    layers.
    """
    names = {module: name for name, module in net.named_modules()}
    layers = list(dict.fromkeys(names[module] for module in called(net, example) if list(module.parameters())))
    randomised, replaced = copy.deepcopy(net), 0
    for part in np.array_split(layers[::-1], min(stages, len(layers))):
        for name in part:
            randomised.get_submodule(name).load_state_dict(untrained.get_submodule(name).state_dict())
        replaced += len(part)
        yield replaced, randomised


def likeness(maps: np.ndarray, others: np.ndarray) -> float:
    """Return the mean over images of Spearman's rank correlation between absolute values of two sets of maps (B, H, W).

    Pairs with a constant map are left out; NaN where no pair remains.
    """
    pairs = zip(np.abs(maps), np.abs(others), strict=True)
    varying = [(one.ravel(), other.ravel()) for one, other in pairs if np.ptp(one) and np.ptp(other)]
    return float(np.mean([stats.spearmanr(*pair).statistic for pair in varying])) if varying else float("nan")


def sanity(
    maps: dict[str, np.ndarray],
    maps_of: Callable[[nn.Module], dict[str, np.ndarray]],
    nets: Iterator[tuple[int, nn.Module]],
) -> list[dict[str, float | str]]:
    """Return rows of method, layers, likeness: how alike each method's maps are before and after each stage.

    maps: method -> (B, H, W). maps_of: net -> the same, attributed in the same way. nets: see `cascade`.
    """
    rows: list[dict[str, float | str]] = [{"method": name, "layers": 0, "likeness": 1.0} for name in maps]
    for layers, net in nets:
        for name, others in maps_of(net).items():
            rows.append({"method": name, "layers": layers, "likeness": likeness(maps[name], others)})
    return rows
