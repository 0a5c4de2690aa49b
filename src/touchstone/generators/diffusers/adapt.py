"""The parameters of a pipeline's denoiser that are adapted to the training split."""

import torch
from torch import nn

from touchstone.errors import TouchstoneError
from touchstone.generators.diffusers.config import DiffusersFit
from touchstone.generators.diffusers.parts import EXTRA, Parts

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
CLASSES = "class_embedding."


def trainable(parts: Parts, fit: DiffusersFit) -> dict[str, nn.Parameter]:
    """Return the parameters to adapt by their names in the denoiser, whose others are frozen.

    lora adds its own, drawn from torch's global generator, after which the denoiser is unchanged at first. Raises
    TouchstoneError without the extra, or where the denoiser has no attention for lora to change.
    """
    parts.net.requires_grad_(False)
    if fit.adapt == "none":
        return {}
    if fit.adapt == "lora":
        _add_lora(parts, fit.rank)
    chosen = {
        name: parameter
        for name, parameter in parts.net.named_parameters()
        if fit.adapt == "dreambooth" or ".lora_" in name or (name.startswith(CLASSES) and parts.learns_classes)
    }
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen


def _add_lora(parts: Parts, rank: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise TouchstoneError(f"{parts.key}.fit.adapt: lora needs peft; install it with {EXTRA}") from None
    if not any(name.endswith(ATTENTION) for name, layer in parts.net.named_modules() if isinstance(layer, nn.Linear)):
        raise TouchstoneError(
            f"{parts.key}.fit.adapt: lora changes attention, which this pipeline lacks; use dreambooth"
        )
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(ATTENTION), init_lora_weights=True)
    with torch.device("cpu"):
        inject_adapter_in_model(config, parts.net)
