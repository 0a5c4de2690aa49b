"""Diffusion in noise levels sigma: EDM's preconditioning and two samplers of second order.

Source: Karras, Aittala, Aila, Laine 2022, arXiv 2206.00364 (table 1 and algorithm 1), with the values published there;
DPM-Solver++(2M): Lu 2022, arXiv 2211.01095, algorithm 2. A noisy image is x = x_0 + sigma * epsilon.
"""

import math
from collections.abc import Callable, Sequence

import torch

P_MEAN, P_STD = -1.2, 1.2  # log sigma is normal in training
SIGMA_DATA = 0.5  # standard deviation of images in [-1, 1]
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0

Denoiser = Callable[[torch.Tensor, float], torch.Tensor]
"""(x, sigma) -> the image that the net expects below the noise, x_0."""


def scales(sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return c_skip, c_out and c_in of noise levels (...): x_0 = c_skip * x + c_out * net(c_in * x)."""
    total = sigma.square() + SIGMA_DATA**2
    return SIGMA_DATA**2 / total, sigma * SIGMA_DATA / total.sqrt(), 1 / total.sqrt()


def c_noise(log_sigma: torch.Tensor) -> torch.Tensor:
    """Return what tells the net the noise level, a quarter of its logarithm."""
    return log_sigma / 4


def levels(count: int, *, least: float = SIGMA_MIN, most: float = SIGMA_MAX) -> list[float]:
    """Return `count` noise levels, falling from `most` to `least`, densest near `least`."""
    first, last = most ** (1 / RHO), least ** (1 / RHO)
    return [(first + i / max(1, count - 1) * (last - first)) ** RHO for i in range(count)]


def heun(denoised: Denoiser, x: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    """Remove the noise of x along falling levels by Heun's method; 2 len(sigmas) - 1 evaluations of the net."""
    for sigma, following in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        slope = (x - denoised(x, sigma)) / sigma
        euler = x + (following - sigma) * slope
        if following:
            slope = (slope + (euler - denoised(euler, following)) / following) / 2
            euler = x + (following - sigma) * slope
        x = euler
    return x


def dpmsolver(denoised: Denoiser, x: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    """Do the same by DPM-Solver++(2M), with len(sigmas) evaluations: each uses the image expected before."""
    before, last = None, 0.0  # x_0 of the step before, and that step's length in log SNR / 2
    for sigma, following in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        x_0 = denoised(x, sigma)
        if not following:
            return x_0
        length = math.log(sigma / following)
        slope = x_0 if before is None else x_0 + length / (2 * last) * (x_0 - before)
        x = following / sigma * x + (1 - following / sigma) * slope
        before, last = x_0, length
    return x
