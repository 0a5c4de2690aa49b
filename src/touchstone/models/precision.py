"""Mixed precision: where the hardware has it."""

from touchstone.errors import TouchstoneError


def check_precision(precision: str, device: str) -> None:
    """Raise TouchstoneError where a precision would be emulated, which is slower than fp32 and no more exact.

    device: torch's name of it.
    """
    if precision == "fp32":
        return
    import torch

    there = {
        "cpu": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
        "cuda": device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False),
    }
    if not there.get(device, False):
        raise TouchstoneError(
            f"precision: {precision} on {device}: this device has no {precision} arithmetic; emulated it is about "
            "three times slower than fp32; set precision: fp32"
        )
