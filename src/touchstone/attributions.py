"""What in an image speaks for a class: Captum's attributions of a net's logit to the pixels.

saliency              |gradient| (Simonyan 2013, arXiv 1312.6034)
integrated_gradients  gradients on the way from a plain image (Sundararajan 2017, arXiv 1703.01365)
noise_tunnel          the same of noisy copies, squared, their mean: smoothgrad-squared (Hooker 2018, arXiv 1806.10758)
deep_lift             differences to the plain image, layer by layer (rescale; Shrikumar 2017, arXiv 1704.02685)
gradient_shap         gradients between noisy copies and training images (Lundberg 2017, arXiv 1705.07874)
occlusion             what is lost where a window is covered (Zeiler 2013, arXiv 1311.2901)

The plain image is the mean colour of the training images. What the second, fourth and fifth attribute sums to the
difference of the logits; how far it does not is their convergence delta.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from captum import attr
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR, nonlinear
from torch import nn

from touchstone.sections import Explain
from touchstone.seeds import derive
from touchstone.separation import separated

BLOCK = 8  # images at a time
TOGETHER = 256  # points on the way that pass the net at a time
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
    targets: int64 (B,). known: (N, C, H, W), training images. seed: of what noise tunnel and GradientShap draw.
    """
    parts = zip(x.split(BLOCK), targets.split(BLOCK), strict=True)
    apart = separated(net, x[:1])
    found = [_block(apart, *part, known, settings, derive(seed, "block", i)) for i, part in enumerate(parts)]
    return {
        method: Attributed(
            *(np.concatenate([getattr(each[method], key) for each in found]) for key in ("maps", "delta"))
        )
        for method in settings.methods
    }


def _block(
    net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain, seed: int
) -> dict[str, Attributed]:
    out: dict[str, Attributed] = {}
    for method in settings.methods:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it asks for gradients, and for hooks
            torch.manual_seed(derive(seed, method))
            np.random.seed(derive(seed, method) % 2**32)  # noqa: NPY002 (Captum's GradientShap draws from both)
            values, delta = METHODS[method](net, x.detach().clone(), targets, known, settings)
        nothing = torch.full((len(x),), float("nan"))
        delta = nothing if delta is None else delta.detach().reshape(len(x), -1).mean(1)
        out[method] = Attributed(values.detach().sum(1).float().cpu().numpy(), delta.float().cpu().numpy())
    return out


Found = tuple[torch.Tensor, torch.Tensor | None]


def _saliency(net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain) -> Found:
    return attr.Saliency(net).attribute(x, target=targets), None


def _integrated(
    net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain
) -> Found:
    """Twice the steps, FINER times at most, for images whose sum is off by more than the tolerance."""
    values, delta = _on_the_way(net, x, targets, settings.steps)
    for doubling in range(1, FINER + 1):
        rough = delta.abs() > settings.tolerance
        if not rough.any():
            break
        values[rough], delta[rough] = _on_the_way(net, x[rough], targets[rough], settings.steps * 2**doubling)
    return values, delta


def _on_the_way(net: nn.Module, x: torch.Tensor, targets: torch.Tensor, steps: int) -> list[torch.Tensor]:
    """Integrated gradients from the plain image and their convergence delta (B,)."""
    values, delta = attr.IntegratedGradients(net).attribute(
        x,
        target=targets,
        n_steps=steps,
        internal_batch_size=max(len(x), TOGETHER),
        return_convergence_delta=True,
    )
    return [values.detach(), delta.detach()]


def _noise_tunnel(
    net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain
) -> Found:
    values = attr.NoiseTunnel(attr.IntegratedGradients(net)).attribute(
        x,
        nt_type="smoothgrad_sq",
        nt_samples=settings.samples,
        nt_samples_batch_size=1,
        stdevs=_noise(x, settings),
        target=targets,
        n_steps=max(1, settings.steps // COARSER),
        internal_batch_size=max(len(x), TOGETHER),
    )
    return values, None


def _deep_lift(net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain) -> Found:
    """Image by image: where two values agree, Captum's rule of max pooling takes the first image's gradient
    (captum#1276)."""
    lift = attr.DeepLift(net)
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)  # it refuses `max_unpool`, whose places differ where windows are disjoint
    try:
        found = [
            lift.attribute(image, target=target, return_convergence_delta=True)
            for image, target in zip(x.split(1), targets.split(1), strict=True)
        ]
    finally:
        torch.use_deterministic_algorithms(strict)
    return torch.cat([values for values, _ in found]), torch.cat([delta for _, delta in found])


def _gradient_shap(
    net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain
) -> Found:
    return attr.GradientShap(net).attribute(
        x,
        baselines=known,
        n_samples=settings.samples,
        stdevs=_noise(x, settings),
        target=targets,
        return_convergence_delta=True,
    )


def _occlusion(net: nn.Module, x: torch.Tensor, targets: torch.Tensor, known: torch.Tensor, settings: Explain) -> Found:
    channels, side = x.shape[1], x.shape[-1]
    window = min(side, settings.window or max(1, side // WINDOWS))
    values = attr.Occlusion(net).attribute(
        x,
        target=targets,
        sliding_window_shapes=(channels, window, window),
        strides=(channels, max(1, window // 2), max(1, window // 2)),
        perturbations_per_eval=max(1, TOGETHER // len(x)),
    )
    return values, None


def _noise(x: torch.Tensor, settings: Explain) -> float:
    """The standard deviation: a share of the range of the pixels."""
    return float(settings.noise * (x.max() - x.min()))


METHODS: dict[str, Callable[..., Found]] = {
    "saliency": _saliency,
    "integrated_gradients": _integrated,
    "noise_tunnel": _noise_tunnel,
    "deep_lift": _deep_lift,
    "gradient_shap": _gradient_shap,
    "occlusion": _occlusion,
}
