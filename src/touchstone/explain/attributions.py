"""What in an image speaks for a class: Captum's attributions of a net's logit to the pixels.

saliency              |gradient| (Simonyan 2013, arXiv 1312.6034)
integrated_gradients  gradients on the way from a plain image (Sundararajan 2017, arXiv 1703.01365)
noise_tunnel          the same of noisy copies, squared, their mean: smoothgrad-squared (Hooker 2018, arXiv 1806.10758)
deep_lift             differences to the plain image, layer by layer (rescale; Shrikumar 2017, arXiv 1704.02685)
gradient_shap         gradients between noisy copies and training images (Lundberg 2017, arXiv 1705.07874)
occlusion             what is lost where a window is covered (Zeiler 2013, arXiv 1311.2901)

The plain image is 0 after normalisation: the mean colour of the net's own training images, or, where its weights began
elsewhere, of the images that those were trained with. What integrated gradients and DeepLift attribute sums to the
difference of the logits of image and plain image; how far it does not is their convergence delta. GradientShap starts
from training images instead. Each image is attributed alone, so that no other has to do with its map.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from captum import attr
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR, nonlinear
from torch import nn

from touchstone.config.sections import Explain
from touchstone.explain.separation import separated
from touchstone.seeds import derive

TOGETHER, PIXELS = 256, 2**20  # points on the way that pass the net at a time, at most; pixels in them
FINER = 3  # times that integrated gradients take twice the steps, at most
COARSER = 4  # the ways of the noise tunnel: their mean is of many
WINDOWS = 8  # occlusion: of the side, where no size is given

# Captum's rule for functions of single numbers serves these, too: it divides differences, whatever the function.
for _kind in (nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid):
    SUPPORTED_NON_LINEAR.setdefault(_kind, nonlinear)


@dataclass(frozen=True, eq=False)
class Attributed:
    """maps: float32 (B, H, W), summed over the channels. delta: float32 (B,), of the logit; NaN where there is none."""

    maps: np.ndarray
    delta: np.ndarray


def attribute(
    net: nn.Module, x: torch.Tensor, targets: torch.Tensor, *, known: torch.Tensor, settings: Explain, seed: int
) -> dict[str, Attributed]:
    """The attributions of each image to its class by every method of `settings`.

    net: in evaluation mode, (B, C, H, W) -> logits (B, K). x: (B, C, H, W), normalised, so that 0 is the mean colour.
    targets: int64 (B,). known: (N, C, H, W), real training images. seed: of what noise tunnel and GradientShap draw.
    """
    apart = separated(net, x[:1])
    out: dict[str, Attributed] = {}
    for method in settings.methods:
        found = [
            _one(METHODS[method], apart, image, target, known, settings, derive(seed, method))
            for image, target in zip(x.split(1), targets.split(1), strict=True)
        ]
        maps, deltas = zip(*found, strict=True)
        out[method] = Attributed(np.stack(maps), np.array(deltas, np.float32))
    return out


def _one(
    method: Callable[..., "Found"],
    net: nn.Module,
    image: torch.Tensor,
    target: torch.Tensor,
    known: torch.Tensor,
    settings: Explain,
    seed: int,
) -> tuple[np.ndarray, float]:
    """The map (H, W) of one image, (1, C, H, W), and its delta."""
    before = np.random.get_state()  # noqa: NPY002 (Captum's GradientShap draws from NumPy's generator, too)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it asks for gradients, and for hooks
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        values, delta = method(net, image.detach().clone(), target, known, settings)
    np.random.set_state(before)  # noqa: NPY002
    return values.detach().sum(1)[0].float().cpu().numpy(), float("nan") if delta is None else float(delta)


Found = tuple[torch.Tensor, torch.Tensor | None]


def _saliency(net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain) -> Found:
    return attr.Saliency(net).attribute(x, target=targets), None


def _integrated(
    net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain
) -> Found:
    """Twice the steps, FINER times at most, where the sum is off by more than the tolerance."""
    for doubling in range(FINER + 1):
        values, delta = attr.IntegratedGradients(net).attribute(
            x,
            target=targets,
            n_steps=settings.steps * 2**doubling,
            internal_batch_size=_at_once(x),
            return_convergence_delta=True,
        )
        if float(delta.abs()) <= settings.tolerance:
            break
    return values, delta


def _noise_tunnel(
    net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain
) -> Found:
    values = attr.NoiseTunnel(attr.IntegratedGradients(net)).attribute(
        x,
        nt_type="smoothgrad_sq",
        nt_samples=settings.samples,
        stdevs=_noise(x, settings),
        target=targets,
        n_steps=max(1, settings.steps // COARSER),
        internal_batch_size=max(settings.samples, _at_once(x)),
    )
    return values, None


def _deep_lift(net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain) -> Found:
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)  # it refuses `max_unpool`, whose places differ where windows are disjoint
    try:
        found: Found = attr.DeepLift(net).attribute(x, target=targets, return_convergence_delta=True)
    finally:
        torch.use_deterministic_algorithms(strict)
    return found


def _gradient_shap(
    net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain
) -> Found:
    values = attr.GradientShap(net).attribute(
        x, baselines=known, n_samples=settings.samples, stdevs=_noise(x, settings), target=targets
    )
    return values, None


def _occlusion(net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain) -> Found:
    channels, side = x.shape[1], x.shape[-1]
    window = min(side, settings.window or max(1, side // WINDOWS))
    values = attr.Occlusion(net).attribute(
        x,
        target=targets,
        sliding_window_shapes=(channels, window, window),
        strides=(channels, max(1, window // 2), max(1, window // 2)),
        perturbations_per_eval=_at_once(x),
    )
    return values, None


def _at_once(x: torch.Tensor) -> int:
    """Images of this size that pass the net together."""
    return int(min(TOGETHER, max(1, PIXELS // (x.shape[-1] * x.shape[-2]))))


def _noise(x: torch.Tensor, settings: Explain) -> float:
    """The standard deviation: a share of the range of the image's pixels."""
    return float(settings.noise * (x.max() - x.min()))


METHODS: dict[str, Callable[..., Found]] = {
    "saliency": _saliency,
    "integrated_gradients": _integrated,
    "noise_tunnel": _noise_tunnel,
    "deep_lift": _deep_lift,
    "gradient_shap": _gradient_shap,
    "occlusion": _occlusion,
}
