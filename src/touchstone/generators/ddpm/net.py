"""A class-conditional denoising diffusion model on diffusers' UNet2DModel and schedulers.

Source: Ho, Jain, Abbeel 2020, arXiv 2006.11239; cosine schedule: Nichol & Dhariwal 2021, arXiv 2102.09672;
v-prediction: Salimans & Ho 2022, arXiv 2202.00512; min-SNR weights: Hang 2023, arXiv 2303.09556; classifier-free
guidance: Ho & Salimans 2022, arXiv 2207.12598; samplers: DDIM (Song 2020, arXiv 2010.02502), DPM-Solver++ of second
order (Lu 2022, arXiv 2211.01095), Heun's method; prediction edm: Karras 2022, arXiv 2206.00364 (edm.py).

Parameters: 268,017 in recipes/digits, 600,843 in recipes/cifar10_generated, 34,433,539 in recipes/cifar10_ddpm, the
published one, which has not been run and was published without figures of quality. Samples: digits are legible;
CIFAR-10 images are far from done. Quality and cost: docs/generators.md.
"""

import math
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from diffusers.training_utils import compute_snr

from touchstone.generators.base import Generative, Streams, noise
from touchstone.generators.ddpm import edm
from touchstone.generators.ddpm.config import DdpmFit, DdpmSample

PREVIEW_STEPS = 20
LEAST_LOG_SNR = -5.1  # half log SNR where DPM-Solver++ starts: below it, a cosine schedule divides by almost 0


class Ddpm(Generative):
    """The denoiser and its loss, for square images that its levels can halve. Class `num_classes` means no class."""

    def __init__(self, fit: DdpmFit, *, num_classes: int, channels: int, image_size: int) -> None:
        super().__init__(_unet(fit, num_classes, channels, image_size), ema_decay=fit.ema_decay)
        self.fit_settings, self.no_class = fit, num_classes
        self.shape = channels, image_size, image_size
        self.schedule: Any = DDPMScheduler(
            num_train_timesteps=fit.num_timesteps,
            beta_start=fit.beta_start,
            beta_end=fit.beta_end,
            beta_schedule={"linear": "linear", "cosine": "squaredcos_cap_v2"}[fit.beta_schedule],
            prediction_type="v_prediction" if fit.prediction == "v" else "epsilon",  # edm has no use for a schedule
        )

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        pixels, labels = batch
        s = self.fit_settings
        x_0, count = self.signals(pixels), len(labels)
        epsilon = self.normal_like(x_0, count)
        if s.prediction == "edm":
            return {"loss": self._edm_loss(x_0, epsilon, labels)}
        t = self.own(torch.randint(s.num_timesteps, (count,), device=self.device))
        has_class = torch.rand(count, device=self.device) >= s.label_drop
        shown = self.own(torch.where(has_class, labels, self.no_class))
        x_t = self.schedule.add_noise(x_0, epsilon, t)
        self.reseed()
        predicted = self.net(x_t, t, class_labels=shown).sample
        target = epsilon if s.prediction == "epsilon" else self.schedule.get_velocity(x_0, epsilon, t)
        errors = (predicted - target).square().mean((1, 2, 3))  # (B,)
        return {"loss": (errors * self._weights(t)).mean()}

    def _edm_loss(self, x_0: torch.Tensor, epsilon: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return lambda(sigma) |D - x_0|^2 in the scale of the net's output, where lambda cancels c_out^2."""
        log_sigma = edm.P_MEAN + edm.P_STD * self.own(torch.randn(len(labels), 1, 1, 1, device=self.device))
        has_class = torch.rand(len(labels), device=self.device) >= self.fit_settings.label_drop
        sigma = log_sigma.exp()
        c_skip, c_out, c_in = edm.scales(sigma)
        x = x_0 + sigma * epsilon
        shown = self.own(torch.where(has_class, labels, self.no_class))
        self.reseed()
        predicted = self.net(c_in * x, edm.c_noise(log_sigma).flatten(), class_labels=shown).sample
        return (predicted - (x_0 - c_skip * x) / c_out).square().mean()

    def _weights(self, t: torch.Tensor) -> torch.Tensor:
        """Return the weights (B,) of timesteps int64 (B,): min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v."""
        gamma = self.fit_settings.min_snr_gamma
        if not gamma:
            return torch.ones_like(t, dtype=torch.float32)
        snr = compute_snr(self.schedule, t)
        if self.fit_settings.prediction == "epsilon":
            return (gamma / snr).clamp(max=1)  # finite where no signal is left
        return snr.clamp(max=gamma) / (snr + 1)

    def configure_optimizers(self) -> Any:
        s = self.fit_settings
        optimizer = torch.optim.Adam(self.net.parameters(), s.lr, fused=True)
        rise = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (s.warmup_steps + 1)))
        return self.configured([optimizer], [rise])

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        if self.fit_settings.clip_norm:
            self.clip_gradients(optimizer, self.fit_settings.clip_norm, "norm")

    def sample(self, labels: torch.Tensor, streams: Streams, settings: Any) -> torch.Tensor:
        """See the base class; `settings` is a DdpmSample."""
        if settings.sampler == "heun" or self.fit_settings.prediction == "edm":
            return self._sample_along_sigmas(labels.to(self.device), streams, settings)
        solver: Any = _solver(self.schedule.config, settings.sampler)
        if settings.sampler == "dpmsolver":
            solver.set_timesteps(timesteps=_timesteps(solver, settings.num_inference_steps), device=self.device)
        else:
            solver.set_timesteps(settings.num_inference_steps, device=self.device)
        labels = labels.to(self.device)
        x = noise(streams, *self.shape).to(self.device, memory_format=torch.channels_last)
        x = x * solver.init_noise_sigma
        seeds = [int(stream.integers(2**32)) for stream in streams]  # of the noise that steps add
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        for t in solver.timesteps:
            predicted = self._denoised(x, t, labels, settings.guidance_weight)
            x = solver.step(predicted, t, x, generator=generators).prev_sample
        return self.pixels(x)

    def _sample_along_sigmas(self, labels: torch.Tensor, streams: Streams, settings: Any) -> torch.Tensor:
        """Sample in noise levels of x = x_0 + sigma * epsilon. Expected images are clipped to [-1, 1] at each step."""
        sigmas, timesteps = self._levels(settings.num_inference_steps)
        time_of = dict(zip(sigmas, timesteps, strict=True))

        def denoised(x: torch.Tensor, sigma: float) -> torch.Tensor:
            c_skip, c_out, c_in = self._scales(sigma)
            time = torch.tensor(time_of[sigma], device=self.device)
            return (c_skip * x + c_out * self._denoised(c_in * x, time, labels, settings.guidance_weight)).clamp(-1, 1)

        x = sigmas[0] * noise(streams, *self.shape).to(self.device, memory_format=torch.channels_last)
        return self.pixels((edm.heun if settings.sampler == "heun" else edm.dpmsolver)(denoised, x, sigmas))

    def _levels(self, count: int) -> tuple[list[float], list[float]]:
        """Return falling noise levels, at most `count`, and what tells each to the net: c_noise or its timestep."""
        if self.fit_settings.prediction == "edm":
            sigmas = edm.levels(count)
            return sigmas, [float(edm.c_noise(torch.tensor(math.log(sigma)))) for sigma in sigmas]
        shares = self.schedule.alphas_cumprod.double().cpu().numpy()
        known = np.sqrt((1 - shares) / shares)  # rises with t
        known = known[: max(1, int((known <= math.exp(-LEAST_LOG_SNR)).sum()))]
        wanted = edm.levels(count, least=known[0], most=known[-1])
        timesteps = sorted({int(np.abs(known - sigma).argmin()) for sigma in wanted}, reverse=True)
        return [float(known[t]) for t in timesteps], [float(t) for t in timesteps]

    def _scales(self, sigma: float) -> tuple[float, float, float]:
        """Return c_skip, c_out and c_in, by which x_0 = c_skip * x + c_out * net(c_in * x)."""
        if self.fit_settings.prediction == "edm":
            c_skip, c_out, c_in = edm.scales(torch.tensor(sigma, dtype=torch.float64))
            return float(c_skip), float(c_out), float(c_in)
        share = 1 / (1 + sigma**2)  # alpha_bar: x_t = sqrt(share) * x
        if self.fit_settings.prediction == "v":
            return share, -sigma * math.sqrt(share), math.sqrt(share)
        return 1.0, -sigma, math.sqrt(share)

    def preview(self, labels: torch.Tensor, streams: Streams) -> torch.Tensor:
        steps = min(PREVIEW_STEPS, self.fit_settings.num_timesteps)
        return self.sample(labels, streams, DdpmSample(per_class=1, num_inference_steps=steps))

    def _denoised(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor, w: float) -> torch.Tensor:
        """Return the net's guided prediction, (1 + w) * with the class - w * without it."""
        net = self.averaged.module
        if not w:
            return net(x, t, class_labels=labels).sample
        both = torch.cat([labels, torch.full_like(labels, self.no_class)])
        conditional, unconditional = net(torch.cat([x, x]), t, class_labels=both).sample.chunk(2)
        return (1 + w) * conditional - w * unconditional


build = Ddpm  # the name that generators.build calls


def _unet(fit: DdpmFit, num_classes: int, channels: int, image_size: int) -> Any:
    widths = [fit.channels * factor for factor in fit.multipliers]
    attends = [image_size // 2**level in fit.attention for level in range(len(widths))]
    return UNet2DModel(
        sample_size=image_size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(widths),
        layers_per_block=fit.num_res_blocks,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
        dropout=fit.dropout,
        norm_num_groups=math.gcd(32, *widths),
        attention_head_dim=math.gcd(32, *widths),
        num_class_embeds=num_classes + 1,
    )


def _solver(config: Any, sampler: str) -> Any:
    """Build a scheduler for one block, since it counts its steps. Samples are clipped to [-1, 1] at each step."""
    if sampler == "ddpm":
        return DDPMScheduler.from_config(config, timestep_spacing="trailing")
    if sampler == "ddim":
        return DDIMScheduler.from_config(config, timestep_spacing="trailing")
    return DPMSolverMultistepScheduler.from_config(
        config,
        algorithm_type="dpmsolver++",
        thresholding=True,
        dynamic_thresholding_ratio=1.0,
        sample_max_value=1.0,
    )


def _timesteps(solver: Any, count: int) -> list[int]:
    """Return `count` different timesteps, evenly spread and falling, from the first with enough signal to above 0,
    where the last step arrives."""
    enough = int((solver.lambda_t >= LEAST_LOG_SNR).sum())  # they come first: lambda falls with t
    first = enough if enough >= count else len(solver.lambda_t)
    return [math.floor(first * (count - i) / count + 0.5) - 1 for i in range(count)]
