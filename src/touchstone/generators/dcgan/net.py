"""A class-conditional DCGAN: transposed convolutions from noise and class to image, a projection discriminator.

Source: Radford, Metz, Chintala 2015, arXiv 1511.06434 (convolutions of stride 2 instead of pooling, batch norm, ReLU
and LeakyReLU(.2), tanh, weights from N(0, .02), Adam with beta1 .5). The class is an embedding beside the noise in
the generator, and a projection in the discriminator (Miyato & Koyama 2018, arXiv 1802.05637). Losses: the
non-saturating ones of Goodfellow 2014, arXiv 1406.2661. DiffAugment for few images: Zhao 2020, arXiv 2006.10738. The
generator is sampled with averaged weights (Yazici 2018, arXiv 1806.04498).

Parameters: 168,961 and 44,705 in recipes/digits, 436,483 and 188,321 in recipes/cifar10_generated (generator and
discriminator). Samples: digits are legible and a little soft; CIFAR-10 images have the textures and colours of their
class, but hardly show objects. Quality and cost: docs/generators.md.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from touchstone.config.schema.generator import Sample
from touchstone.generators.base import Generative, Streams, noise
from touchstone.generators.dcgan.config import DcganFit

EMBEDDING = 32  # length of a class's vector beside the noise
FIRST_PX = 4  # side of the smallest map
PREVIEW = Sample(per_class=1)
STUCK_ROWS, STUCK_LOSS = 10, 0.01  # rows of the history; the discriminator's loss, which starts at 1.39


class Dcgan(Generative):
    """Both nets, for images of 8, 16, 32, 64 or 128 px; a step trains first the discriminator, then the generator."""

    def __init__(self, fit: DcganFit, *, num_classes: int, channels: int, image_size: int) -> None:
        widths = _widths(fit, image_size)
        net = Generator(fit.latent, widths, num_classes=num_classes, channels=channels)
        super().__init__(net, ema_decay=fit.ema_decay)
        critic = Discriminator(widths, num_classes=num_classes, channels=channels)
        self.critic = critic.to(memory_format=torch.channels_last)
        self.fit_settings = fit
        self.automatic_optimization = False

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> dict[str, torch.Tensor]:
        pixels, labels = batch
        real, labels = self.signals(pixels), self.own(labels)
        self.reseed()
        z = torch.randn(len(labels), self.fit_settings.latent, device=self.device)
        fake = self.net(z, labels)
        of_discriminator, of_generator = self.optimizers()  # type: ignore[attr-defined]
        loss_real = F.softplus(-self._discriminate(real, labels)).mean()
        loss_fake = F.softplus(self._discriminate(fake.detach(), labels)).mean()
        discriminator_loss = loss_real + loss_fake
        self._update(of_discriminator, discriminator_loss)
        self.critic.requires_grad_(False)
        generator_loss = F.softplus(-self._discriminate(fake, labels)).mean()
        self._update(of_generator, generator_loss)
        self.critic.requires_grad_(True)
        return {"loss": generator_loss.detach(), "discriminator_loss": discriminator_loss.detach()}

    def configure_optimizers(self) -> Any:
        s = self.fit_settings
        nets, betas = (self.critic, self.net), (s.beta1, 0.999)
        return self.configured([torch.optim.Adam(n.parameters(), s.lr, betas=betas, fused=True) for n in nets], [])

    def sample(self, labels: torch.Tensor, streams: Streams, settings: Sample) -> torch.Tensor:
        z = noise(streams, self.fit_settings.latent).to(self.device)
        return self.pixels(self.averaged.module(z, labels.to(self.device)))

    def preview(self, labels: torch.Tensor, streams: Streams) -> torch.Tensor:
        return self.sample(labels, streams, PREVIEW)

    def stuck(self, history: list[dict[str, float]]) -> str:
        losses = [row["discriminator_loss"] for row in history[-STUCK_ROWS:]]
        if len(losses) < STUCK_ROWS or max(losses) > STUCK_LOSS:
            return ""
        return (
            f"the discriminator's loss has stayed below {STUCK_LOSS}: it recognises every sample, and the "
            "generator learns nothing; lower fit.lr, or use fit.diffaugment"
        )

    def _discriminate(self, signals: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.critic(augmented(signals, self.fit_settings.diffaugment), labels)

    def _update(self, optimizer: Any, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


build = Dcgan  # the name that generators.build calls


class Generator(nn.Module):
    """Noise (B, latent), classes (B,) -> images (B, C, S, S) in [-1, 1]."""

    def __init__(self, latent: int, widths: list[int], *, num_classes: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, EMBEDDING)
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent + EMBEDDING, widths[0], FIRST_PX, 1, 0, bias=False)]
        for wide, narrow in pairwise(widths):
            layers += [nn.BatchNorm2d(wide), nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers).apply(_initialise)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seed = torch.cat([z, self.embedding(labels)], 1)  # (B, latent + 32)
        return self.layers(seed[:, :, None, None])


class Discriminator(nn.Module):
    """Images (B, C, S, S), classes (B,) -> logits (B,), above 0 for real."""

    def __init__(self, widths: list[int], *, num_classes: int, channels: int) -> None:
        super().__init__()
        upwards = widths[::-1]
        layers: list[nn.Module] = [nn.Conv2d(channels, upwards[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for narrow, wide in pairwise(upwards):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers).apply(_initialise)
        self.real = nn.Linear(upwards[-1] * FIRST_PX**2, 1)
        self.of_class = nn.Embedding(num_classes, upwards[-1] * FIRST_PX**2)
        nn.init.normal_(self.real.weight, 0, 0.02)
        nn.init.normal_(self.of_class.weight, 0, 0.02)

    def forward(self, signals: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        h = self.layers(signals).flatten(1)  # (B, W * 4 * 4)
        return self.real(h)[:, 0] + (self.of_class(labels) * h).sum(1)


def augmented(x: torch.Tensor, policies: tuple[str, ...]) -> torch.Tensor:
    """Apply DiffAugment to (B, C, S, S): change each image at random and differentiably, real and fake alike."""
    for policy in policies:
        x = {"color": _color, "translation": _translation, "cutout": _cutout}[policy](x)
    return x


def _color(x: torch.Tensor) -> torch.Tensor:
    """Change brightness by up to .5, saturation by a factor in 0..2, contrast by a factor in .5..1.5."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, device=x.device)
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * 2 * saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def _translation(x: torch.Tensor) -> torch.Tensor:
    """Move each image by up to an eighth of its side in each direction, and fill with zeros."""
    count, side = len(x), x.shape[-1]
    far = max(1, side // 8)
    shift = torch.randint(-far, far + 1, (2, count, 1), device=x.device)
    place = torch.arange(side, device=x.device)[None] + shift + far  # (2, B, S), in the padded image
    padded = F.pad(x, (far, far, far, far)).permute(0, 2, 3, 1)  # (B, S + 2 far, S + 2 far, C)
    image = torch.arange(count, device=x.device)[:, None, None]
    return padded[image, place[0][:, :, None], place[1][:, None, :]].permute(0, 3, 1, 2)


def _cutout(x: torch.Tensor) -> torch.Tensor:
    """Set a square of half the side, anywhere, to zero."""
    count, side = len(x), x.shape[-1]
    half = side // 4
    centre = torch.randint(0, side + 1, (2, count, 1), device=x.device)
    near = (torch.arange(side, device=x.device)[None] - centre).add(0.5).abs() < half  # (2, B, S)
    return x * ~(near[0][:, :, None] & near[1][:, None, :])[:, None]


def _widths(fit: DcganFit, image_size: int) -> list[int]:
    """Return the channels of the maps, from 4 px up to half the image's side."""
    levels = (image_size // FIRST_PX).bit_length() - 1
    return [min(fit.max_channels, fit.channels * 2**level) for level in reversed(range(levels))]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
