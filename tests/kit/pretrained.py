"""Tiny pretrained pipelines of diffusers, made here: as small as their classes allow, with weights drawn by a seed."""

import json
from pathlib import Path
from typing import Any

import torch

CARD = "---\nlicense: {licence}\nlibrary_name: diffusers\n---\n# A tiny pipeline\n"
WORDS = ("a", "photo", "of", "zero", "one", "two", "cat", "dog")


def unconditional(folder: Path, *, size_px: int = 16, channels: int = 3, licence: str = "mit", **unet: Any) -> Path:
    """A DDPMPipeline."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    settings = {
        "sample_size": size_px,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    scheduler = DDPMScheduler(num_train_timesteps=50, beta_end=0.2)
    return _saved(DDPMPipeline(UNet2DModel(**settings | unet), scheduler), folder, licence)


def class_conditional(folder: Path, *, licence: str = "cc-by-nc-4.0") -> Path:
    """A DiTPipeline of 16 px that knows ten classes."""
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel

    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=10,
        norm_num_groups=4,
        attention_bias=True,
        activation_fn="gelu-approximate",
        norm_type="ada_norm_zero",
        norm_elementwise_affine=False,
    )
    for parameter in transformer.parameters():  # some start at zero, where classes would make no difference
        torch.nn.init.normal_(parameter, std=0.1)
    scheduler = DDIMScheduler(num_train_timesteps=50, beta_end=0.2, clip_sample=False)
    return _saved(DiTPipeline(transformer, _vae(), scheduler), folder, licence)


def text(folder: Path, *, licence: str = "openrail") -> Path:
    """A StableDiffusionPipeline of 16 px whose vocabulary is WORDS and the letters."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    words = folder.with_name(f"{folder.name}-words")
    words.mkdir(parents=True)
    letters = [chr(i) for i in range(ord("a"), ord("z") + 1)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    merges = ["#version: 0.2"]
    for word in WORDS:
        left = word[0]
        for place, letter in enumerate(word[1:], 2):
            right = f"{letter}</w>" if place == len(word) else letter
            if f"{left} {right}" not in merges:
                merges.append(f"{left} {right}")
                tokens.append(left + right)
            left += right
    (words / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(dict.fromkeys(tokens))}))
    (words / "merges.txt").write_text("\n".join(merges) + "\n")
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=8)
    config = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(config),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=PNDMScheduler(num_train_timesteps=50, beta_end=0.2, skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _saved(pipeline, folder, licence)


def _vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )


def _saved(pipeline: Any, folder: Path, licence: str) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").write_text(CARD.format(licence=licence))
    return folder
