"""A pretrained pipeline of diffusers as a generator: as it is, or adapted to the training split.

Source: image-to-image by Meng 2021 (SDEdit), arXiv 2108.01073; low-rank adaptation: Hu 2021, arXiv 2106.09685; tuning
all weights on prompts of one's own: Ruiz 2022 (DreamBooth), arXiv 2208.12242, without its prior-preservation term;
guidance: Ho & Salimans 2022, arXiv 2207.12598.

Parameters, scores and cost are those of the pipeline chosen. Each image has its own stream of noise, as in all kinds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from touchstone.data.decode import as_channels
from touchstone.data.ops.resize import scale
from touchstone.errors import TouchstoneError
from touchstone.generators.base import Generative, Streams, noise
from touchstone.generators.diffusers import schedules
from touchstone.generators.diffusers.adapt import trainable
from touchstone.generators.diffusers.config import DiffusersFit, DiffusersSample
from touchstone.generators.diffusers.files import check_files, read_facts
from touchstone.generators.diffusers.parts import Parts, load_parts

PREVIEW_STEPS = 20


class Pretrained(Generative):
    """A pipeline's denoiser. `net` holds the parameters that are adapted, under their names in the denoiser."""

    def __init__(self, parts: Parts, fit: DiffusersFit, *, channels: int, image_size: int, size_px: int) -> None:
        named = trainable(parts, fit)
        super().__init__(nn.ParameterList(named.values()), ema_decay=fit.ema_decay)
        self.names = list(named)
        self.fit_settings, self.channels, self.image_size, self.size_px = fit, channels, image_size, size_px
        self.held = [parts]  # in a list, so that torch does not count the pipeline's own weights as the generator's
        self.training_schedule = schedules.for_training(parts.schedule)
        self.placed: torch.device | None = None

    @property
    def is_fitted(self) -> bool:
        return bool(self.names)

    def parts(self) -> Parts:
        """Return the pipeline's parts, on the generator's device."""
        parts = self.held[0]
        if self.placed != self.device:
            parts.to(self.device)
            self.placed = self.device
        return parts

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        pixels, labels = batch
        parts, schedule, labels = self.parts(), self.training_schedule, self.own(labels)
        self.reseed()
        with torch.no_grad():
            x_0 = parts.encode(self._enlarged(pixels), draw=True)
        epsilon = torch.randn_like(x_0)
        t = torch.randint(schedule.config.num_train_timesteps, (len(x_0),), device=self.device)
        if parts.can_drop:
            dropped = torch.rand(len(labels), device=self.device) < self.fit_settings.label_drop
            labels = torch.where(dropped, len(parts.classes), labels)
        predicted = parts.predict(schedule.add_noise(x_0, epsilon, t), t, labels)
        return {"loss": (predicted - schedules.target(schedule, x_0, epsilon, t)).square().mean()}

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.net.parameters(), self.fit_settings.lr, fused=True)
        constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        return self.configured([optimizer], [constant])

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        if self.fit_settings.clip_norm:
            self.clip_gradients(optimizer, self.fit_settings.clip_norm, "norm")

    def sample(self, labels: torch.Tensor, streams: Streams, settings: Any) -> torch.Tensor:
        """See the base class; `settings` is a DiffusersSample."""
        return self._sample(None, labels, streams, settings)

    def sample_from(self, sources: np.ndarray, labels: torch.Tensor, streams: Streams, settings: Any) -> torch.Tensor:
        return self._sample(sources, labels, streams, settings)

    def _sample(
        self, sources: np.ndarray | None, labels: torch.Tensor, streams: Streams, settings: DiffusersSample
    ) -> torch.Tensor:
        parts, labels = self.parts(), labels.to(self.device)
        parts.told(settings.template, settings.words)
        scale_by = self._guidance(settings)
        x = noise(streams, *parts.shape(self.size_px)).to(self.device)

        def predicted(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            t = t.to(self.device).expand(len(x))
            if scale_by == 1:
                return parts.predict(x, t, labels)
            both = torch.cat([labels, torch.full_like(labels, len(parts.classes))])
            conditional, free = parts.predict(torch.cat([x, x]), torch.cat([t, t]), both).chunk(2)
            return free + scale_by * (conditional - free)

        with torch.no_grad(), self._averaged():
            start = None if sources is None else parts.encode(self._enlarged(torch.from_numpy(sources)))
            x = schedules.denoise(predicted, x, streams, schedule=parts.schedule, settings=settings, start=start)
            return self._reduced(parts.decode(x))

    def preview(self, labels: torch.Tensor, streams: Streams) -> torch.Tensor:
        fit = self.fit_settings
        some: dict[str, Any] = {"template": fit.template, "words": fit.words}
        return self.sample(labels, streams, DiffusersSample(per_class=1, num_inference_steps=PREVIEW_STEPS, **some))

    def weights(self) -> dict[str, torch.Tensor]:
        return dict(zip(self.names, super().weights().values(), strict=True))

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        if set(weights) != set(self.names):
            raise RuntimeError("other parameters")
        super().load_weights({str(number): weights[name] for number, name in enumerate(self.names)})

    def _guidance(self, settings: DiffusersSample) -> float:
        parts = self.held[0]
        if settings.guidance_scale not in (0.0, 1.0) and not parts.can_drop:
            raise TouchstoneError(
                f"{parts.key}.sample.guidance_scale: got {settings.guidance_scale:g}, and this pipeline cannot do "
                "without the class; take it out"
            )
        usual = parts.guidance_scale if parts.can_drop else 1.0
        return settings.guidance_scale or usual

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the averaged parameters into the denoiser for a while."""
        pairs = list(zip(self.net.parameters(), self.averaged.module.parameters(), strict=True))
        kept = [own.data for own, _ in pairs]
        for own, average in pairs:
            own.data = average.data
        try:
            yield
        finally:
            for (own, _), data in zip(pairs, kept, strict=True):
                own.data = data

    def _enlarged(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, C) -> the pipeline's float32 (B, its channels, size_px, size_px) in [-1, 1]."""
        channels, side = self.held[0].channels, self.size_px
        images = [as_channels(scale(one, side, side), channels) for one in pixels.cpu().numpy()]
        return self.signals(torch.from_numpy(np.stack(images)).to(self.device))

    def _reduced(self, images: torch.Tensor) -> torch.Tensor:
        """The pipeline's float32 (B, C, H, W) -> uint8 (B, image_size, image_size, channels) on the CPU."""
        side = self.image_size
        made = [as_channels(scale(one, side, side), self.channels) for one in self.pixels(images).numpy()]
        return torch.from_numpy(np.stack(made))


def build(
    fit: DiffusersFit,
    *,
    num_classes: int,
    channels: int,
    image_size: int,
    pipeline: Path,
    classes: list[str],
    name: str = "diffusers",
) -> Pretrained:
    """Load the packed pipeline in the folder `pipeline` for these classes.

    Raises TouchstoneError where it is damaged or cannot make such images.
    """
    key, seed = f"generators.{name}", int(torch.randint(2**62, ()))  # drawn before libraries draw weights to replace
    facts = read_facts(pipeline)
    if facts is None:
        raise TouchstoneError(f"{key}.pipeline: {pipeline}: no pipeline; run `dvc repro pipelines`")
    check_files(pipeline, facts)
    parts = load_parts(key, pipeline, facts, classes, fit)
    size_px = fit.size_px or parts.own_px
    if not size_px or size_px % parts.factor:
        raise TouchstoneError(
            f"{key}.fit.size_px: got {size_px}, expected a multiple of {parts.factor} above 0; set it to the side at "
            "which the pipeline was trained"
        )
    if size_px < image_size:
        raise TouchstoneError(
            f"{key}: the pipeline makes images of {size_px} px, and enlarging them to data.image_size {image_size} "
            "adds nothing; lower data.image_size, set fit.size_px, or choose another pipeline"
        )
    if parts.channels == 1 and channels == 3:
        raise TouchstoneError(f"{key}: the pipeline makes grey images, and data.channels is 3; set it to 1")
    if parts.channels not in (1, 3):
        raise TouchstoneError(f"{key}: the pipeline makes images of {parts.channels} channels, expected 1 or 3")
    if size_px != image_size or parts.channels != channels:
        grey = ", made grey by luma" if channels < parts.channels else ""
        print(f"{name}: {facts.kind} of {size_px} px; its images are scaled to {image_size} px{grey}")
    torch.manual_seed(seed)
    return Pretrained(parts, fit, channels=channels, image_size=image_size, size_px=size_px)
