"""Attributions of a net's logit to the pixels of an image, by Captum.

saliency              |gradient| (Simonyan 2013, arXiv 1312.6034)
integrated_gradients  gradients along the path from a plain image (Sundararajan 2017, arXiv 1703.01365)
noise_tunnel          the same for noisy copies, squared, their mean: smoothgrad-squared (Hooker 2018, arXiv 1806.10758)
deep_lift             differences to the plain image, layer by layer (rescale; Shrikumar 2017, arXiv 1704.02685)
gradient_shap         gradients between noisy copies and training images (Lundberg 2017, arXiv 1705.07874)
occlusion             the loss of logit where a window is covered (Zeiler 2013, arXiv 1311.2901)

The plain image is 0 after normalisation: the mean colour of the images that the net or its pretrained weights were
trained on. The attributions of integrated gradients and DeepLift sum to the difference between the logits of the image
and the plain image; the error of that sum is their convergence delta. Each image is attributed alone, so other images
do not change its map.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from captum import attr
from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR, nonlinear
from torch import Tensor, nn

from touchstone.config.schema.explain import Explain
from touchstone.explain.separation import separated
from touchstone.seeds import derive

BATCH, PIXELS = 256, 2**18  # most images that pass the net at a time, and their pixels
COARSER = 4  # the noise tunnel averages over many paths, so it divides the steps by this
WINDOWS = 8  # occlusion: windows per side, where no size is given

Values = tuple[Tensor, Tensor | None]  # attributions (1, C, H, W), convergence delta (1,)

# Captum's rule for elementwise functions, which divides differences, also holds for these.
for _kind in (nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid):
    SUPPORTED_NON_LINEAR.setdefault(_kind, nonlinear)


@dataclass(frozen=True, eq=False)
class Attribution:
    """One method's attributions of B images."""

    maps: np.ndarray
    """float32 (B, H, W), summed over the channels."""
    delta: np.ndarray
    """float32 (B,), the convergence delta of the logit; NaN for methods without one."""


def attribute(
    net: nn.Module,
    x: Tensor,
    targets: Tensor,
    *,
    training_images: Tensor,
    settings: Explain,
    seed: int,
    on_map: Callable[[], object] = lambda: None,
) -> dict[str, Attribution]:
    """Attribute the logit of each image's class to its pixels, by every method of `settings`.

    net: in evaluation mode, (B, C, H, W) -> logits (B, K). x: (B, C, H, W), normalised: 0 is the mean colour.
    targets: int64 (B,). training_images: (N, C, H, W). seed: for the random draws of noise tunnel and GradientShap.
    on_map: called after each map.
    """
    separated_net = separated(net, x[:1])
    attributions: dict[str, Attribution] = {}
    for method in settings.methods:
        maps, deltas = [], []
        for image, target in zip(x.split(1), targets.split(1), strict=True):
            with _seeded(derive(seed, method)):
                inputs = image.detach().clone()
                values, delta = METHODS[method](separated_net, inputs, target, training_images, settings)
            maps.append(values.detach().sum(1)[0].float().cpu().numpy())
            deltas.append(float("nan") if delta is None else float(delta))
            on_map()
        attributions[method] = Attribution(np.stack(maps), np.array(deltas, np.float32))
    return attributions


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's and NumPy's generators, which Captum draws from, and restore them afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Captum says that it needs gradients and hooks
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        yield
    np.random.set_state(before)  # noqa: NPY002


def _saliency(net: nn.Module, x: Tensor, target: Tensor, training: Tensor, settings: Explain) -> Values:
    return attr.Saliency(net).attribute(x, target=target), None


def _integrated(net: nn.Module, x: Tensor, target: Tensor, training: Tensor, settings: Explain) -> Values:
    """Double the steps while the sum is off by more than the tolerance, a share of the difference of the logits."""
    with torch.no_grad():
        image, plain = net(x), net(torch.zeros_like(x))
    most = settings.tolerance * float((image - plain)[0, target].abs())
    for doubling in range(settings.doublings + 1):
        values, delta = attr.IntegratedGradients(net).attribute(
            x,
            target=target,
            n_steps=settings.steps * 2**doubling,
            internal_batch_size=_batch_size(x),
            return_convergence_delta=True,
        )
        if float(delta.abs()) <= most:
            break
    return values, delta


def _noise_tunnel(net: nn.Module, x: Tensor, target: Tensor, training: Tensor, settings: Explain) -> Values:
    values = attr.NoiseTunnel(attr.IntegratedGradients(net)).attribute(
        x,
        nt_type="smoothgrad_sq",
        nt_samples=settings.samples,
        stdevs=_noise(x, settings),
        target=target,
        n_steps=max(1, settings.steps // COARSER),
        internal_batch_size=max(settings.samples, _batch_size(x)),
    )
    return values, None


def _deep_lift(net: nn.Module, x: Tensor, target: Tensor, training: Tensor, settings: Explain) -> Values:
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)  # strict mode refuses `max_unpool`, which is exact on disjoint windows
    try:
        return attr.DeepLift(net).attribute(x, target=target, return_convergence_delta=True)
    finally:
        torch.use_deterministic_algorithms(strict)


def _gradient_shap(net: nn.Module, x: Tensor, target: Tensor, training: Tensor, settings: Explain) -> Values:
    given = {"n_samples": settings.samples, "stdevs": _noise(x, settings), "target": target}
    return attr.GradientShap(net).attribute(x, baselines=training, **given), None


def _occlusion(net: nn.Module, x: Tensor, target: Tensor, training: Tensor, settings: Explain) -> Values:
    channels, side = x.shape[1], x.shape[-1]
    window = min(side, settings.window or max(1, side // WINDOWS))
    values = attr.Occlusion(net).attribute(
        x,
        target=target,
        sliding_window_shapes=(channels, window, window),
        strides=(channels, max(1, window // 2), max(1, window // 2)),
        perturbations_per_eval=_batch_size(x),
    )
    return values, None


def _batch_size(x: Tensor) -> int:
    """Return the number of images of this size that pass the net together."""
    return int(min(BATCH, max(1, PIXELS // (x.shape[-1] * x.shape[-2]))))


def _noise(x: Tensor, settings: Explain) -> float:
    """Return the standard deviation of the noise, a share of the range of the image's pixels."""
    return float(settings.noise * (x.max() - x.min()))


METHODS: dict[str, Callable[..., Values]] = {
    "saliency": _saliency,
    "integrated_gradients": _integrated,
    "noise_tunnel": _noise_tunnel,
    "deep_lift": _deep_lift,
    "gradient_shap": _gradient_shap,
    "occlusion": _occlusion,
}
