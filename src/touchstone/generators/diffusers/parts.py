"""The parts of a packed pipeline: a denoiser, its conditions, and the space in which it works.

Each part is built by its own class of diffusers or transformers, from configurations and safetensors alone. Images are
float32 (B, C, H, W) in [-1, 1]; a text or class pipeline denoises their latents, float32 (B, c, h, w).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel, UNet2DConditionModel, UNet2DModel
from torch import nn

from touchstone.errors import TouchstoneError, nearest
from touchstone.generators.diffusers.config import LABEL, DiffusersFit
from touchstone.generators.diffusers.files import PipelineFacts

EXTRA = "pip install 'touchstone[diffusers]'"


class Parts:
    """A denoiser for K classes. `key` opens messages.

    The conditions of a denoiser are tensors whose first axis has a row for each class and, where `can_drop`, a last row
    for no class. `learns_classes`: whether the denoiser has an embedding of the classes that is new.
    """

    guidance_scale = 1.0
    """The value that is usual for pipelines of this kind."""

    def __init__(self, key: str, folder: Path, classes: Sequence[str]) -> None:
        self.key, self.classes = key, list(classes)
        self.schedule: dict[str, Any] = json.loads((folder / "scheduler/scheduler_config.json").read_text())
        self.net: nn.Module = nn.Identity()
        self.vae: Any = None
        self.conditions: torch.Tensor | None = None
        self.can_drop, self.learns_classes = False, False

    @property
    def config(self) -> Any:
        return self.net.config

    @property
    def channels(self) -> int:
        """The number of channels of the pipeline's images."""
        return self.vae.config.in_channels if self.vae else self.config.in_channels

    @property
    def factor(self) -> int:
        """The number of pixels for each step of a latent's side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1) if self.vae else 1

    @property
    def own_px(self) -> int:
        """The side of an image of the pipeline's own size, or 0 where its configuration does not tell."""
        size = self.config.sample_size
        return (size if isinstance(size, int) else max(size or (0,))) * self.factor

    def shape(self, size_px: int) -> tuple[int, int, int]:
        """Return (c, h, w) of what is denoised for images with this side."""
        return self.config.in_channels, size_px // self.factor, size_px // self.factor

    def told(self, template: str, words: Mapping[str, str]) -> None:
        """Prepare the conditions of the classes."""

    def predict(self, x: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return the denoiser's output for x (B, c, h, w), timesteps (B,) and rows int64 (B,) of the conditions."""
        raise NotImplementedError

    def encode(self, images: torch.Tensor, *, draw: bool = False) -> torch.Tensor:
        """Return what is denoised in place of images: their latents' mean or, with `draw`, a draw of them."""
        if self.vae is None:
            return images
        spread = self.vae.encode(images).latent_dist
        return (spread.sample() if draw else spread.mode()) * self.vae.config.scaling_factor

    def decode(self, x: torch.Tensor) -> torch.Tensor:
        """Return images (B, C, H, W), about in [-1, 1]."""
        if self.vae is None:
            return x
        return self.vae.decode(x / self.vae.config.scaling_factor).sample

    def to(self, device: torch.device) -> None:
        for part in (self.net, self.vae):
            if part is not None:
                part.to(device)
        if self.conditions is not None:
            self.conditions = self.conditions.to(device)


class Pixels(Parts):
    """UNet2DModel: unconditional, or with classes; one without gets an embedding of the classes if it is adapted."""

    def __init__(self, key: str, folder: Path, classes: Sequence[str], fit: DiffusersFit) -> None:
        super().__init__(key, folder, classes)
        self.net = _loaded(key, UNet2DModel, folder, "unet")
        known = self.config.num_class_embeds
        if known:
            self.rows = class_rows(key, classes, fit.class_ids, known)
        elif fit.adapt != "none":
            width = self.config.block_out_channels[0] * 4
            self.net.class_embedding = nn.Embedding(len(classes) + 1, width)
            nn.init.zeros_(self.net.class_embedding.weight)
            self.learns_classes, self.can_drop = True, True
            self.rows = list(range(len(classes) + 1))
        else:
            self.rows = []

    def predict(self, x: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        labels = torch.tensor(self.rows, device=x.device)[rows] if self.rows else None
        return self.net(x, t, class_labels=labels).sample


class ClassLatents(Parts):
    """DiT: a transformer on latents, told the number of a class; the last number stands for none."""

    guidance_scale = 4.0

    def __init__(self, key: str, folder: Path, classes: Sequence[str], fit: DiffusersFit) -> None:
        super().__init__(key, folder, classes)
        self.net = _loaded(key, DiTTransformer2DModel, folder, "transformer")
        self.vae = _loaded(key, AutoencoderKL, folder, "vae").requires_grad_(False)
        none = self.config.num_embeds_ada_norm
        self.rows = [*class_rows(key, classes, fit.class_ids, none), none]
        self.can_drop = True
        if fit.size_px not in (0, self.own_px):
            raise TouchstoneError(
                f"{key}.fit.size_px: got {fit.size_px}, and a DiT makes images of {self.own_px} px alone; take it out"
            )

    def predict(self, x: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        labels = torch.tensor(self.rows, device=x.device)[rows]
        out = self.net(x, timestep=t, class_labels=labels).sample
        return out[:, : x.shape[1]]  # a learned variance follows


class TextLatents(Parts):
    """Stable Diffusion: a U-Net on latents, told a text; the empty text stands for no class."""

    guidance_scale = 7.5

    def __init__(self, key: str, folder: Path, classes: Sequence[str], fit: DiffusersFit) -> None:
        super().__init__(key, folder, classes)
        try:
            from transformers import CLIPTextModel, CLIPTokenizer
            from transformers.utils.logging import disable_progress_bar
        except ImportError:
            raise TouchstoneError(f"{key}: a text pipeline needs transformers; install it with {EXTRA}") from None
        disable_progress_bar()
        self.net = _loaded(key, UNet2DConditionModel, folder, "unet")
        self.vae = _loaded(key, AutoencoderKL, folder, "vae").requires_grad_(False)
        self.tokenizer = CLIPTokenizer.from_pretrained((folder / "tokenizer").as_posix(), local_files_only=True)
        self.text_encoder = _loaded(key, CLIPTextModel, folder, "text_encoder").requires_grad_(False)
        self.can_drop = True
        self.last_told: tuple[str, Mapping[str, str]] | None = None
        self.told(fit.template, fit.words)

    def told(self, template: str, words: Mapping[str, str]) -> None:
        if self.last_told == (template, words):  # as for each block of images; the text encoder stays on the CPU
            return
        for name in words:
            if name not in self.classes:
                raise TouchstoneError(
                    f"{self.key}: words: got the class {name}, expected one of {', '.join(self.classes)}"
                    f"{nearest(name, self.classes)}"
                )
        prompts = [template.replace(LABEL, words.get(name, name.replace("_", " "))) for name in self.classes]
        tokens = self.tokenizer(
            [*prompts, ""],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        device = next(self.net.parameters()).device
        with torch.no_grad():
            self.conditions = self.text_encoder(tokens.input_ids)[0].to(device)  # (K + 1, tokens, width)
        self.last_told = template, dict(words)

    def predict(self, x: torch.Tensor, t: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        assert self.conditions is not None
        return self.net(x, t, encoder_hidden_states=self.conditions[rows]).sample


KINDS: dict[str, type[Any]] = {
    "DDPMPipeline": Pixels,
    "DDIMPipeline": Pixels,
    "DiTPipeline": ClassLatents,
    "StableDiffusionPipeline": TextLatents,
}


def load_parts(key: str, folder: Path, facts: PipelineFacts, classes: Sequence[str], fit: DiffusersFit) -> Parts:
    """Load a packed pipeline for these classes, in evaluation mode.

    Raises TouchstoneError where an extra is missing, a part does not fit its configuration, or a class has no number.
    """
    return KINDS[facts.kind](key, folder, classes, fit)


def class_rows(key: str, classes: Sequence[str], class_ids: Mapping[str, int], count: int) -> list[int]:
    """Return the number of each class. Raises TouchstoneError where one has none below `count`, or is unknown."""
    for name, number in class_ids.items():
        if name not in classes:
            expected = f"expected one of {', '.join(classes)}{nearest(name, classes)}"
            raise TouchstoneError(f"{key}.fit.class_ids: got the class {name}, {expected}")
        if number >= count:
            raise TouchstoneError(f"{key}.fit.class_ids.{name}: got {number}, expected a number below {count}")
    missing = [name for name in classes if name not in class_ids]
    if missing:
        raise TouchstoneError(
            f"{key}.fit.class_ids: no number for {', '.join(missing)}; the pipeline knows its {count} classes by "
            "numbers from 0, which its model card lists"
        )
    return [class_ids[name] for name in classes]


def _loaded(key: str, kind: Any, folder: Path, part: str) -> Any:
    """Build a part from its configuration and its safetensors. Raises TouchstoneError where they do not fit."""
    try:
        return kind.from_pretrained(
            (folder / part).as_posix(), use_safetensors=True, local_files_only=True, torch_dtype=torch.float32
        ).eval()
    except Exception as error:  # the libraries raise whatever a damaged part leads them to
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TouchstoneError(f"{key}.pipeline: {part}: not loaded ({reason}); put the whole pipeline there") from error
