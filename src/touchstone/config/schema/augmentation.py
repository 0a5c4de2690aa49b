"""Online augmentation: how training images are changed at random in every epoch.

A field added here is a key of params.yaml wherever a phase is, and its `Shown` words it in the report's table of
models; see `data/augment.py` for the rest of an operation.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from touchstone.config.schema.section import Count, Fraction, Positive, Section, Shown

COLUMN = "online augmentation"
# Settings that say how images are changed, but not whether.
DETAILS = (
    *(
        "crop_border",
        "crop_ratio",
        "alternate_flips",
        "policy_strength",
        "randaugment_ops",
        "randaugment_magnitude",
        "magnitude_bins",
    ),
    *("augmix_severity", "augmix_width", "augmix_depth", "augmix_alpha"),
    *("erase_scale", "erase_ratio", "erase_value"),
)
UNCHANGED = {"policy_strength": 0.0}  # values that change no image, where the default is another one


def _range(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise ValueError("expected the smaller number first, such as [0.3, 3.3]")
    return values


def _level(value: str | int) -> str | int:
    if value in ("random", "mean") or (isinstance(value, int) and 0 <= value <= 255):
        return value
    raise ValueError("expected random, mean or a grey level from 0 to 255")


class Augmentation(Section):
    """The random changes of an image; the defaults change nothing."""

    rotate_deg: Annotated[float, Field(ge=0, le=180), Shown(COLUMN, "rotation ± {:g}°")] = 0.0
    """Largest angle of a random rotation, in degrees either way."""
    crop_padding: Annotated[int, Field(ge=0), Shown(COLUMN, "random crop after padding by {} px")] = 0
    """Pixels added to each side before a random crop of the original size."""
    crop_border: Annotated[Literal["zeros", "reflect"], Shown(COLUMN, "padding by {}")] = "zeros"
    """The pixels that crop_padding adds: zeros, or the image mirrored at its edge."""
    crop_scale: Annotated[float, Field(gt=0, le=1), Shown(COLUMN, "random resized crop from {:g} of the area")] = 1.0
    """Smallest share of the area that a random resized crop keeps; 1 takes no such crop."""
    crop_ratio: Annotated[float, Field(ge=1, le=4), Shown(COLUMN, "crop aspect ratio up to {:g}")] = 4 / 3
    """Largest ratio of the sides of a random resized crop."""
    hflip: Annotated[bool, Shown(COLUMN, "horizontal flip")] = False
    """Mirror the image with probability 1/2."""
    alternate_flips: Annotated[bool, Shown(COLUMN, "flips alternate")] = False
    """With hflip: draw once whether an image is mirrored, and then take turns from epoch to epoch."""
    jitter_brightness: Annotated[Fraction, Shown(COLUMN, "brightness ± {:g}")] = 0.0
    """Grey levels are multiplied by a factor between 1 minus and 1 plus this."""
    jitter_contrast: Annotated[Fraction, Shown(COLUMN, "contrast ± {:g}")] = 0.0
    """Distances from the image's mean are multiplied by such a factor."""
    jitter_saturation: Annotated[Fraction, Shown(COLUMN, "saturation ± {:g}")] = 0.0
    """Distances from the pixel's grey are multiplied by such a factor; needs three channels."""
    jitter_hue: Annotated[float, Field(ge=0, le=0.5), Shown(COLUMN, "hue ± {:g}")] = 0.0
    """Largest turn of the hue either way; 1 is the whole circle; needs three channels."""

    policy: Annotated[Literal["none", "randaugment", "trivialaugment", "augmix"], Shown(COLUMN, "{}")] = "none"
    """Several random operations at random magnitudes, see `data/policies.py`."""
    policy_strength: Annotated[float, Field(ge=0, le=1), Shown(COLUMN, "policy at {:g} of its strength")] = 1.0
    """Factor of the policy's magnitudes, and the probability of its operations without one; 0 changes nothing."""
    randaugment_ops: Annotated[Count, Shown(COLUMN, "{} operations of RandAugment")] = 2
    """Operations per image."""
    randaugment_magnitude: Annotated[int, Field(ge=0), Shown(COLUMN, "RandAugment's magnitude {}")] = 9
    """Magnitude of RandAugment's operations, from 0 to magnitude_bins - 1."""
    magnitude_bins: Annotated[int, Field(ge=2), Shown(COLUMN, "{} bins of magnitudes")] = 31
    """Number of magnitudes of RandAugment and TrivialAugment."""
    augmix_severity: Annotated[float, Field(ge=0.1, le=10), Shown(COLUMN, "AugMix's severity {:g}")] = 3.0
    """Largest severity of AugMix's operations, which is drawn from 0.1 on; 10 is the largest magnitude."""
    augmix_width: Annotated[Count, Shown(COLUMN, "{} chains of AugMix")] = 3
    """Number of AugMix's chains of operations."""
    augmix_depth: Annotated[int, Field(ge=0), Shown(COLUMN, "{} operations a chain")] = 0
    """Number of operations in a chain; 0 draws one to three."""
    augmix_alpha: Annotated[Positive, Shown(COLUMN, "AugMix's alpha {:g}")] = 1.0
    """alpha of the Dirichlet distribution that mixes the chains, and of the beta distribution that mixes in the image
    itself."""
    erase: Annotated[float, Field(ge=0, le=1), Shown(COLUMN, "random erasing, probability {:g}")] = 0.0
    """Probability with which a rectangle of the image is erased."""
    erase_scale: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=0, lt=1)]],
        AfterValidator(_range),
        Shown(COLUMN, lambda ends: f"erased shares {ends[0]:g} to {ends[1]:g}"),
    ] = (0.02, 0.33)
    """Smallest and largest share of the area that is erased."""
    erase_ratio: Annotated[
        tuple[Positive, Positive],
        AfterValidator(_range),
        Shown(COLUMN, lambda ends: f"erased aspect ratios {ends[0]:g} to {ends[1]:g}"),
    ] = (0.3, 3.3)
    """Smallest and largest height of the rectangle divided by its width."""
    erase_value: Annotated[str | int, AfterValidator(_level), Shown(COLUMN, "erased with {}")] = "random"
    """random: noise; mean: the image's own mean of each channel; or a grey level."""

    @model_validator(mode="after")
    def _magnitude_of_the_bins(self) -> "Augmentation":
        if self.policy == "randaugment" and self.randaugment_magnitude >= self.magnitude_bins:
            raise ValueError(
                f"randaugment_magnitude {self.randaugment_magnitude} is not below magnitude_bins "
                f"{self.magnitude_bins}; set it to {self.magnitude_bins - 1} or less"
            )
        return self

    @property
    def applies_policy(self) -> bool:
        return self.policy != "none" and self.policy_strength > 0

    @property
    def augments(self) -> bool:
        """Whether images are changed; DETAILS alone, such as `crop_ratio` without `crop_scale`, change none."""
        fields = Augmentation.model_fields
        switches = [name for name in fields if name not in (*DETAILS, "policy")]
        return self.applies_policy or any(getattr(self, name) != fields[name].default for name in switches)
