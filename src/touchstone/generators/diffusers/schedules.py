"""Noise schedules of a pretrained pipeline: for training, and for sampling by a scheduler of diffusers."""

import inspect
from collections.abc import Callable
from typing import Any

import diffusers
import torch

from touchstone.generators.base import Streams
from touchstone.generators.diffusers.config import DiffusersSample

NAMES = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "dpmsolver": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "unipc": "UniPCMultistepScheduler",
}

Prediction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(x, t) -> the denoiser's output."""


def for_training(config: dict[str, Any]) -> Any:
    """Return the schedule by which the pipeline was trained, with all its timesteps."""
    return diffusers.DDPMScheduler.from_config(config, variance_type="fixed_small")


def target(schedule: Any, x_0: torch.Tensor, epsilon: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Return what the denoiser should predict: the noise, v or the image."""
    kind = schedule.config.prediction_type
    if kind == "v_prediction":
        return schedule.get_velocity(x_0, epsilon, t)
    return x_0 if kind == "sample" else epsilon


def solver(config: dict[str, Any], name: str) -> Any:
    """Build a scheduler for one block, since it counts its steps. name: of NAMES, or "" for the pipeline's own."""
    kind = NAMES[name] if name else config["_class_name"]
    more = {"variance_type": "fixed_small"} if kind == "DDPMScheduler" else {}
    return getattr(diffusers, kind).from_config(config, **more)


def denoise(
    predicted: Prediction,
    x: torch.Tensor,
    streams: Streams,
    *,
    schedule: dict[str, Any],
    settings: DiffusersSample,
    start: torch.Tensor | None,
) -> torch.Tensor:
    """Run a diffusion backwards from noise x (B, c, h, w), or from `start` with as much noise as strength asks for.

    The noise that a scheduler adds to image i comes from a generator seeded by stream i.
    """
    scheduler = solver(schedule, settings.scheduler)
    scheduler.set_timesteps(settings.num_inference_steps, device=x.device)
    timesteps = scheduler.timesteps
    if start is None:
        x = x * scheduler.init_noise_sigma
    else:
        left_out = settings.num_inference_steps - int(settings.num_inference_steps * settings.strength)
        first = left_out * scheduler.order
        timesteps = timesteps[first:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        x = scheduler.add_noise(start, x, timesteps[:1].repeat(len(x)))
    seeds = [int(stream.integers(2**32)) for stream in streams]
    more: dict[str, Any] = {}
    if "generator" in inspect.signature(scheduler.step).parameters:
        more["generator"] = [torch.Generator().manual_seed(seed) for seed in seeds]
    for t in timesteps:
        out = predicted(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(out, t, x, **more).prev_sample
    return x
