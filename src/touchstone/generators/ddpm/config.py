"""A DDPM's sections of params.yaml."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from touchstone.config.schema.generator import Fit, FittedConfig, Sample
from touchstone.config.schema.section import Fraction

MOST_SIGNAL = 0.3  # share of the image's amplitude that may be left at the last timestep


class DdpmFit(Fit):
    """A conditional denoising diffusion model (Ho 2020)."""

    num_timesteps: Annotated[int, Field(ge=1, le=10_000)] = 1000  # T
    beta_schedule: Literal["linear", "cosine"] = "linear"
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 0.0001  # linear
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02  # linear
    prediction: Literal["epsilon", "v", "edm"] = "epsilon"
    """The net's output; edm has continuous noise levels in place of timesteps, and no use for a beta schedule."""
    min_snr_gamma: Annotated[float, Field(ge=0)] = 0.0  # 0: every timestep weighs the same
    label_drop: Fraction = 0.0  # probability that the net does not see the class, which guidance needs
    channels: Annotated[int, Field(ge=4)] = 64  # width of the first level
    multipliers: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=7)] = (1, 2, 2)
    num_res_blocks: Annotated[int, Field(ge=1)] = 2  # per level
    attention: tuple[int, ...] = ()  # px: sides of the levels with self-attention; the middle has it always
    dropout: Fraction = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0  # lr rises linearly
    clip_norm: Annotated[float, Field(ge=0)] = 1.0  # largest norm of the gradient; 0: not clipped

    @model_validator(mode="after")
    def _rising(self) -> "DdpmFit":
        if self.beta_end < self.beta_start:
            raise ValueError(f"beta_end {self.beta_end} is below beta_start {self.beta_start}; noise has to grow")
        if self.beta_schedule == "linear" and self._signal_left() > MOST_SIGNAL:
            raise ValueError(
                f"num_timesteps {self.num_timesteps} up to beta_end {self.beta_end} leave "
                f"{100 * self._signal_left():.0f} % of the image in what should be noise; raise one of them, or take "
                "beta_schedule cosine"
            )
        if self.prediction == "edm" and self.min_snr_gamma:
            raise ValueError(
                f"min_snr_gamma {self.min_snr_gamma:g} weighs timesteps, and prediction edm has weights of its own; "
                "take it out"
            )
        return self

    def _signal_left(self) -> float:
        """Return the share of the image's amplitude after the last timestep: sqrt of the product of all (1 - beta)."""
        span = self.beta_end - self.beta_start
        betas = (self.beta_start + span * t / max(1, self.num_timesteps - 1) for t in range(self.num_timesteps))
        return math.exp(0.5 * sum(math.log1p(-beta) for beta in betas))


class DdpmSample(Sample):
    """Settings for sampling: the sampler that runs the diffusion backwards, and its number of steps."""

    sampler: Literal["ddpm", "ddim", "dpmsolver", "heun"] = "dpmsolver"
    """heun evaluates the net twice a step, except in the last; the others once."""
    num_inference_steps: Annotated[int, Field(ge=1)] = 20
    guidance_weight: Annotated[float, Field(ge=0)] = 0.0  # w of Ho & Salimans 2022; 0: none (a scale of 1)


class DdpmConfig(FittedConfig):
    """An entry of `generators` whose kind is ddpm."""

    kind: Literal["ddpm"]
    fit: DdpmFit
    sample: DdpmSample

    @model_validator(mode="after")
    def _fits_together(self) -> "DdpmConfig":
        steps, most = self.sample.num_inference_steps, self.fit.num_timesteps
        is_edm = self.fit.prediction == "edm"
        if is_edm and self.sample.sampler in ("ddpm", "ddim"):
            raise ValueError(
                f"sample.sampler {self.sample.sampler} needs timesteps, which fit.prediction edm has not; use heun or "
                "dpmsolver"
            )
        if steps > most and not is_edm:
            raise ValueError(f"sample.num_inference_steps {steps} is above fit.num_timesteps {most}; lower it")
        if self.sample.sampler == "ddim" and most % steps:
            raise ValueError(
                f"sample.num_inference_steps {steps} does not divide fit.num_timesteps {most}, which ddim needs; "
                "change it, or use dpmsolver"
            )
        if self.sample.guidance_weight and not self.fit.label_drop:
            raise ValueError(
                f"sample.guidance_weight {self.sample.guidance_weight:g} needs a net that has learnt to do without "
                "the class; set fit.label_drop above 0 (0.1 is usual) or guidance_weight 0"
            )
        return self

    def check_size(self, size_px: int) -> None:
        """Raise ValueError unless images of this side can be made."""
        levels = len(self.fit.multipliers)
        if size_px % 2 ** (levels - 1):
            raise ValueError(
                f"{levels} multipliers halve the image {levels - 1} times, got data.image_size {size_px}; "
                f"use a multiple of {2 ** (levels - 1)} or fewer multipliers"
            )
        sides = [size_px // 2**level for level in range(levels)]
        for side in self.fit.attention:
            if side not in sides:
                raise ValueError(f"fit.attention {side}: no level has that side; levels have {sides} px")


CONFIG = DdpmConfig
