"""Decides how much of an explanation a net's size allows, by counted operations and never by time."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from touchstone.config.schema.explain import Explain
from touchstone.explain.attributions import COARSER, WINDOWS

BACKWARD = 3  # a pass forward and backward takes about three times the operations of one forward


@dataclass(frozen=True)
class Extent:
    """The parts of an explanation that are computed."""

    chosen: int
    """Images that were chosen, pictures of one's own included."""
    images: int
    """Chosen images that are explained: the first ones, and all pictures."""
    checked: int
    """Explained images whose maps go through the sanity check: the first ones."""
    stages: int
    """Stages of the sanity check."""
    doublings: int
    """Number of times integrated gradients may double their steps."""

    def passes(self, settings: Explain) -> int:
        """The number of passes forward and backward, at most."""
        once = self._by_image(settings, doublings=0)
        nets = self.stages + 1  # and the second seed's
        return self.images * self._by_image(settings, doublings=self.doublings) + nets * self.checked * once

    def _by_image(self, settings: Explain, *, doublings: int) -> int:
        windows = (2 * WINDOWS) ** 2 // BACKWARD  # occlusion passes forward only
        passes = {
            "saliency": 1,
            "integrated_gradients": settings.steps * (2 ** (doublings + 1) - 1),
            "noise_tunnel": settings.samples * max(1, settings.steps // COARSER),
            "deep_lift": 2,
            "gradient_shap": settings.samples,
            "occlusion": windows,
        }
        return sum(passes[method] for method in settings.methods)


def extent(net: nn.Module, example: torch.Tensor, num_images: int, settings: Explain, *, num_own: int = 0) -> Extent:
    """Return the largest extent that stays below `settings.max_teraflop`, or the least one.

    A costly net first gives up doublings of steps, then images of the sanity check and its stages, then images, unless
    `settings.files` names them. net: in evaluation mode. example: (1, C, H, W). num_images: those that were chosen.
    num_own: pictures of one's own, which are all explained.
    """
    flop = BACKWARD * operations(net, example)
    n, stages = num_images + num_own, settings.randomised
    four, two = (n if settings.files else min(num_images, most) + num_own for most in (4, 2))
    ladder = [
        Extent(n, n, n, stages, settings.doublings),
        Extent(n, n, n, stages, min(3, settings.doublings)),
        Extent(n, n, min(n, 3), stages, min(3, settings.doublings)),
        Extent(n, n, min(n, 2), min(stages, 2), min(3, settings.doublings)),
        Extent(n, four, min(n, 2), min(stages, 2), min(2, settings.doublings)),
        Extent(n, two, min(n, 1), min(stages, 1), min(1, settings.doublings)),
    ]
    return next((e for e in ladder if e.passes(settings) * flop <= settings.max_teraflop * 1e12), ladder[-1])


@torch.no_grad()
def operations(net: nn.Module, example: torch.Tensor) -> int:
    """Return the floating-point operations of a pass, two for each multiply-add."""
    counter = FlopCounterMode(display=False)
    with counter:
        net(example)
    return int(counter.get_total_flops())
