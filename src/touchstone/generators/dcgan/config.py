"""A DCGAN's sections of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from touchstone.config.schema.generator import Fit, FittedConfig, Sample
from touchstone.config.schema.section import Fraction

SIZES = (8, 16, 32, 64, 128)  # px; 4 is doubled at each level


class DcganFit(Fit):
    """A conditional DCGAN (Radford 2015)."""

    latent: Annotated[int, Field(ge=1)] = 100  # length of the noise
    channels: Annotated[int, Field(ge=4)] = 64  # width of the layer below the image; doubled at each smaller size
    max_channels: Annotated[int, Field(ge=4)] = 512
    beta1: Fraction = 0.5  # Adam's
    diffaugment: tuple[Literal["color", "translation", "cutout"], ...] = ("color", "translation", "cutout")


class DcganConfig(FittedConfig):
    """An entry of `generators` whose kind is dcgan."""

    kind: Literal["dcgan"]
    fit: DcganFit
    sample: Sample

    def check_size(self, size_px: int) -> None:
        """Raise ValueError unless images of this side can be made."""
        if size_px not in SIZES:
            raise ValueError(
                f"a DCGAN makes images of {', '.join(map(str, SIZES))} px, got data.image_size {size_px}; "
                "change it, or use a ddpm"
            )


CONFIG = DcganConfig
