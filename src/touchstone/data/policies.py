"""Policies of strong online augmentation: random operations at random magnitudes, on one image at a time.

    randaugment     Cubuk et al. 2019, arXiv 1909.13719
    trivialaugment  Müller and Hutter 2021, "TrivialAugment", arXiv 2103.10158, in its wide form
    augmix          Hendrycks et al. 2019, arXiv 1912.02781, without its consistency loss

The operations and their largest magnitudes are those of the papers, as torchvision has them. `policy_strength` moves
every magnitude towards the one that changes nothing, and is the probability of operations without a magnitude; at 0 an
image stays as it is. Grey images are drawn no change of saturation.

Geometry is resampled by `ops/geometry`, contrast, saturation and sharpness are computed by `ops/colour`, and the others
by torchvision's v2 functions, of which only those are used whose every step is exact: v2 resamples in floating point,
and its blends and means may round otherwise where another number of threads divides the pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from touchstone.config.schema.augmentation import Augmentation
from touchstone.data.ops.colour import photometric, saturate, sharpen
from touchstone.data.ops.geometry import inverse_map, shear_map, warp

FILL = 0  # black, beyond the image's edge
LEAST_SEVERITY, MOST_SEVERITY = 0.1, 10.0  # of AugMix's operations


@dataclass(frozen=True)
class Member:
    """An operation of a policy, with the range of its magnitudes."""

    apply: Callable[[np.ndarray, float], np.ndarray]
    """(image uint8 (H, W, C), magnitude) -> new image. The magnitude 0 changes nothing, where `has_magnitude`."""
    most: float = 0.0
    """The largest magnitude."""
    least: float = 0.0
    """The smallest magnitude."""
    is_signed: bool = True
    """Whether the magnitude is negative half of the time."""

    @property
    def has_magnitude(self) -> bool:
        return self.most > 0


def changed(image: np.ndarray, random: np.random.Generator, settings: Augmentation) -> np.ndarray:
    """Return a copy of an image, uint8 (H, W, C), changed by the settings' policy with numbers from `random`."""
    image, last_bin = np.array(image), settings.magnitude_bins - 1
    if settings.policy == "randaugment":
        for _ in range(settings.randaugment_ops):
            place = settings.randaugment_magnitude / last_bin
            image = _draw_and_apply(image, RANDAUGMENT, place, random, settings.policy_strength)
    elif settings.policy == "trivialaugment":
        place = int(random.integers(last_bin + 1)) / last_bin
        image = _draw_and_apply(image, TRIVIALAUGMENT, place, random, settings.policy_strength)
    elif settings.policy == "augmix":
        image = _augmix(image, random, settings)
    return image


def _augmix(image: np.ndarray, random: np.random.Generator, settings: Augmentation) -> np.ndarray:
    """Mix an image with a mixture of itself after several chains of operations."""
    weights = random.dirichlet([settings.augmix_alpha] * settings.augmix_width).tolist()
    share_of_mixture = float(random.beta(settings.augmix_alpha, settings.augmix_alpha))
    mixed = (1 - share_of_mixture) * image
    for weight in weights:
        chained = image
        for _ in range(settings.augmix_depth or int(random.integers(1, 4))):
            place = float(random.uniform(LEAST_SEVERITY, settings.augmix_severity)) / MOST_SEVERITY
            chained = _draw_and_apply(chained, AUGMIX, place, random, settings.policy_strength)
        mixed = mixed + (share_of_mixture * weight) * chained
    return np.clip(np.floor(mixed + 0.5), 0, 255).astype(np.uint8)


def _draw_and_apply(
    image: np.ndarray,
    space: dict[str, Member],
    place: float,
    random: np.random.Generator,
    strength: float,
) -> np.ndarray:
    """Apply one member of a space, drawn at random. place: that of its magnitude in its range, 0 to 1."""
    names = [name for name in space if image.shape[2] == 3 or name != "saturation"]
    member = space[names[int(random.integers(len(names)))]]
    side, chance = random.random(2).tolist()
    if not member.has_magnitude:
        return member.apply(image, 0.0) if chance < strength else image
    magnitude = strength * (member.least + (member.most - member.least) * place)
    return member.apply(image, -magnitude if member.is_signed and side < 0.5 else magnitude)


# --- the operations: (image, magnitude) -> image ---


def _shear_x(image: np.ndarray, shear: float) -> np.ndarray:
    return warp(image, shear_map(x=shear), fill=FILL) if shear else image


def _shear_y(image: np.ndarray, shear: float) -> np.ndarray:
    return warp(image, shear_map(y=shear), fill=FILL) if shear else image


def _rotate(image: np.ndarray, angle_deg: float) -> np.ndarray:
    return warp(image, inverse_map(*image.shape[:2], rotate_deg=angle_deg), fill=FILL) if angle_deg else image


def _shift_x(image: np.ndarray, shift_px: float) -> np.ndarray:
    """Shift by whole pixels, which blurs nothing."""
    out, shift, width = np.full_like(image, FILL), int(shift_px), image.shape[1]
    if abs(shift) < width:
        out[:, max(0, shift) : width + min(0, shift)] = image[:, max(0, -shift) : width - max(0, shift)]
    return out


def _shift_y(image: np.ndarray, shift_px: float) -> np.ndarray:
    return np.ascontiguousarray(_shift_x(image.transpose(1, 0, 2), shift_px).transpose(1, 0, 2))


def _shift_x_share(image: np.ndarray, share: float) -> np.ndarray:
    return _shift_x(image, share * image.shape[1])


def _shift_y_share(image: np.ndarray, share: float) -> np.ndarray:
    return _shift_y(image, share * image.shape[0])


def _brightness(image: np.ndarray, change: float) -> np.ndarray:
    return _by_v2("adjust_brightness", image, 1 + change)


def _contrast(image: np.ndarray, change: float) -> np.ndarray:
    return photometric(image, contrast=1 + change)


def _saturation(image: np.ndarray, change: float) -> np.ndarray:
    return saturate(image, 1 + change)


def _sharpness(image: np.ndarray, change: float) -> np.ndarray:
    return sharpen(image, 1 + change)


def _posterize(image: np.ndarray, lost_bits: float) -> np.ndarray:
    return _by_v2("posterize", image, max(1, 8 - round(lost_bits)))


def _solarize(image: np.ndarray, depth: float) -> np.ndarray:
    """Invert the levels from 256 - depth on."""
    return _by_v2("solarize", image, 256 - depth) if depth >= 1 else image


def _by_v2(name: str, image: np.ndarray, *arguments: float) -> np.ndarray:
    """Apply a function of torchvision's v2 to uint8 (H, W, C)."""
    from torchvision.transforms.v2 import functional  # here: it takes seconds to import

    out: torch.Tensor = getattr(functional, name)(torch.from_numpy(image).permute(2, 0, 1), *arguments)
    return np.ascontiguousarray(out.permute(1, 2, 0).numpy())


# --- the spaces ---

PLAIN = {
    "autocontrast": Member(lambda image, _: _by_v2("autocontrast", image)),
    "equalize": Member(lambda image, _: _by_v2("equalize", image)),
}
IDENTITY = {"identity": Member(lambda image, _: image)}


def _geometry(*, shear: float, rotate_deg: float, **shifts: Member) -> dict[str, Member]:
    return {
        "shear_x": Member(_shear_x, shear),
        "shear_y": Member(_shear_y, shear),
        **shifts,
        "rotate": Member(_rotate, rotate_deg),
    }


def _colours(most: float) -> dict[str, Member]:
    kinds = {"brightness": _brightness, "saturation": _saturation, "contrast": _contrast, "sharpness": _sharpness}
    return {name: Member(apply, most) for name, apply in kinds.items()}


def _levels(*, lost_bits: tuple[float, float]) -> dict[str, Member]:
    return {
        "posterize": Member(_posterize, lost_bits[1], lost_bits[0], is_signed=False),
        "solarize": Member(_solarize, 256.0, 1.0, is_signed=False),
    }


RANDAUGMENT = {
    **IDENTITY,
    **_geometry(
        shear=0.3,
        rotate_deg=30.0,
        shift_x=Member(_shift_x_share, 150 / 331),
        shift_y=Member(_shift_y_share, 150 / 331),
    ),
    **_colours(0.9),
    **_levels(lost_bits=(0.0, 4.0)),
    **PLAIN,
}
TRIVIALAUGMENT = {
    **IDENTITY,
    **_geometry(shear=0.99, rotate_deg=135.0, shift_x=Member(_shift_x, 32.0), shift_y=Member(_shift_y, 32.0)),
    **_colours(0.99),
    **_levels(lost_bits=(0.0, 6.0)),
    **PLAIN,
}
# AugMix leaves out the colours, which are among the corruptions that its paper measures robustness against.
AUGMIX = {
    **_geometry(
        shear=0.3, rotate_deg=30.0, shift_x=Member(_shift_x_share, 1 / 3), shift_y=Member(_shift_y_share, 1 / 3)
    ),
    **_levels(lost_bits=(4.0, 8.0)),
    **PLAIN,
}
