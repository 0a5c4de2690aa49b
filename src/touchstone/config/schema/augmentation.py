"""Online augmentation: how training images are changed at random in every epoch.

A field added here is a key of params.yaml wherever a phase is, and its `Shown` words it in the report's table of
models; see `data/augment.py` for the rest of an operation.
"""

from typing import Annotated

from pydantic import Field

from touchstone.config.schema.section import Fraction, Section, Shown

COLUMN = "online augmentation"


class Augmentation(Section):
    """The random changes of an image; the defaults change nothing."""

    rotate_deg: Annotated[float, Field(ge=0, le=180), Shown(COLUMN, "rotation ± {:g}°")] = 0.0
    """Largest angle of a random rotation, in degrees either way."""
    crop_padding: Annotated[int, Field(ge=0), Shown(COLUMN, "random crop after padding by {} px")] = 0
    """Pixels of zeros added to each side before a random crop of the original size."""
    crop_scale: Annotated[float, Field(gt=0, le=1), Shown(COLUMN, "random resized crop from {:g} of the area")] = 1.0
    """Smallest share of the area that a random resized crop keeps; 1 takes no such crop."""
    crop_ratio: Annotated[float, Field(ge=1, le=4), Shown(COLUMN, "crop aspect ratio up to {:g}")] = 4 / 3
    """Largest ratio of the sides of a random resized crop."""
    hflip: Annotated[bool, Shown(COLUMN, "horizontal flip")] = False
    """Mirror the image with probability 1/2."""
    jitter_brightness: Annotated[Fraction, Shown(COLUMN, "brightness ± {:g}")] = 0.0
    """Grey levels are multiplied by a factor between 1 minus and 1 plus this."""
    jitter_contrast: Annotated[Fraction, Shown(COLUMN, "contrast ± {:g}")] = 0.0
    """Distances from the image's mean are multiplied by such a factor."""
    jitter_saturation: Annotated[Fraction, Shown(COLUMN, "saturation ± {:g}")] = 0.0
    """Distances from the pixel's grey are multiplied by such a factor; needs three channels."""
    jitter_hue: Annotated[float, Field(ge=0, le=0.5), Shown(COLUMN, "hue ± {:g}")] = 0.0
    """Largest turn of the hue either way; 1 is the whole circle; needs three channels."""

    @property
    def augments(self) -> bool:
        """Whether images are changed; `crop_ratio` alone, without `crop_scale`, changes none."""
        fields = Augmentation.model_fields
        return any(getattr(self, name) != fields[name].default for name in fields if name != "crop_ratio")
