"""The sections of params.yaml that describe generators: for each kind, how it is fitted and how it is sampled.

`fit` and `sample` are apart so that asking for more images fits nothing anew.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from touchstone.sections import Budget, Fraction, Positive, Section

MOST_SIGNAL = 0.3  # of the image's amplitude at the last timestep
SIZES = (8, 16, 32, 64, 128)  # px, that a DCGAN doubles its way up to from 4


class Fit(Budget):
    """How a generator is fitted, whatever its kind."""

    batch_size: Annotated[int, Field(ge=2)] = 64
    lr: Positive = 0.0002
    ema_decay: Fraction = 0.995  # of the weights that are sampled from; 0: the last weights
    hflip: bool = False  # online, with probability 1/2
    grid_steps: Annotated[int, Field(ge=0)] = 0  # a sheet of samples every so many steps; 0: at the end only
    min_diversity: Fraction = 0.2  # below: collapsed (docs/generators.md)
    num_threads: Annotated[int, Field(ge=1)] = 2  # other numbers of threads give other last bits
    seed: Annotated[int, Field(ge=0)] = 0


class Filter(Section):
    """Which samples are kept, judged by a classifier that saw the training split alone."""

    min_confidence: Fraction = 0.0  # of the class that was asked for; 0: every sample is kept
    max_tries: Annotated[int, Field(ge=1)] = 10  # samples for each one kept, at most


class Sample(Section):
    """How many images are sampled, and in which blocks."""

    per_class: Annotated[int, Field(ge=1)]
    block: Annotated[int, Field(ge=1, le=4096)] = 20  # images of one class at a time; another size, other last bits
    seed: Annotated[int, Field(ge=0)] = 0
    filter: Filter = Filter()


class DcganFit(Fit):
    """A conditional DCGAN (Radford 2015)."""

    latent: Annotated[int, Field(ge=1)] = 100  # length of the noise
    channels: Annotated[int, Field(ge=4)] = 64  # of the layer below the image; doubled at each smaller size
    max_channels: Annotated[int, Field(ge=4)] = 512
    beta1: Fraction = 0.5  # Adam's
    diffaugment: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation", "cutout")


class DdpmFit(Fit):
    """A conditional denoising diffusion model (Ho 2020)."""

    num_timesteps: Annotated[int, Field(ge=1, le=10_000)] = 1000  # T
    beta_schedule: Literal["linear", "cosine"] = "linear"
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 0.0001  # linear
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02  # linear
    prediction: Literal["epsilon", "v"] = "epsilon"
    min_snr_gamma: Annotated[float, Field(ge=0)] = 0.0  # 0: every timestep weighs the same
    label_drop: Fraction = 0.0  # probability that the net does not see the class: what guidance needs
    channels: Annotated[int, Field(ge=4)] = 64  # of the first level
    multipliers: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=7)] = (1, 2, 2)
    num_res_blocks: Annotated[int, Field(ge=1)] = 2  # of a level
    attention: tuple[int, ...] = ()  # px: sides of the levels with self-attention; the middle has it always
    dropout: Fraction = 0.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0  # lr rises linearly
    clip_norm: Annotated[float, Field(ge=0)] = 1.0  # of the gradient; 0: not clipped

    @model_validator(mode="after")
    def _rising(self) -> "DdpmFit":
        if self.beta_end < self.beta_start:
            raise ValueError(f"beta_end {self.beta_end} is below beta_start {self.beta_start}; noise has to grow")
        if self.beta_schedule == "linear" and self._signal_left() > MOST_SIGNAL:
            raise ValueError(
                f"num_timesteps {self.num_timesteps} up to beta_end {self.beta_end} leave {self._signal_left():.0%} of "
                "the image in what should be noise; raise one of them, or take beta_schedule cosine"
            )
        return self

    def _signal_left(self) -> float:
        """The share of the image's amplitude after the last timestep, sqrt of the product of all (1 - beta)."""
        span = self.beta_end - self.beta_start
        betas = (self.beta_start + span * t / max(1, self.num_timesteps - 1) for t in range(self.num_timesteps))
        return math.exp(0.5 * sum(math.log1p(-beta) for beta in betas))


class DdpmSample(Sample):
    """Which sampler runs the diffusion backwards, and in how many steps."""

    sampler: Literal["ddpm", "ddim", "dpmsolver"] = "dpmsolver"
    num_inference_steps: Annotated[int, Field(ge=1)] = 20
    guidance_weight: Annotated[float, Field(ge=0)] = 0.0  # w of Ho & Salimans 2022; 0: none (a scale of 1)


class Dcgan(Section):
    """An entry of `generators` whose kind is dcgan."""

    kind: Literal["dcgan"]
    fit: DcganFit
    sample: Sample

    def check_size(self, size_px: int) -> None:
        """Raise ValueError unless images of this side can be made."""
        if size_px not in SIZES:
            raise ValueError(
                f"a DCGAN makes images of {', '.join(map(str, SIZES))} px, got data.image_size {size_px}; "
                "change it, or use a ddpm"
            )


class Ddpm(Section):
    """An entry of `generators` whose kind is ddpm."""

    kind: Literal["ddpm"]
    fit: DdpmFit
    sample: DdpmSample

    @model_validator(mode="after")
    def _fits_together(self) -> "Ddpm":
        steps, most = self.sample.num_inference_steps, self.fit.num_timesteps
        if steps > most:
            raise ValueError(f"sample.num_inference_steps {steps} is above fit.num_timesteps {most}; lower it")
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


KINDS: dict[str, type[Dcgan] | type[Ddpm]] = {"dcgan": Dcgan, "ddpm": Ddpm}
Generator = Dcgan | Ddpm
