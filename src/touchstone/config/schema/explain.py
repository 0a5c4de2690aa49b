"""Settings for explaining the nets' predictions."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from touchstone.config.schema.section import Fraction, Section, each_once

Method = Literal["saliency", "integrated_gradients", "noise_tunnel", "deep_lift", "gradient_shap", "occlusion"]
OWN = Path("data/external/own")  # the dependency of the stage that reads pictures of one's own
MOST_IMAGES = 32
OWN_PICTURE = "own picture"  # what tables say of one in place of a true class


class Explain(Section):
    """Attributions and attention maps of some test images, and of pictures of one's own."""

    images: Annotated[int, Field(ge=0, le=MOST_IMAGES)] = 8
    """Number of test images of each run; 0 shows none."""
    runs: Annotated[tuple[str, ...], AfterValidator(each_once)] = ()
    """The runs whose predictions are attributed to pixels."""
    choose: Literal["worst", "confident"] = "worst"
    """The images to explain: the most confident errors, or the most confident predictions."""
    files: Annotated[tuple[str, ...], AfterValidator(each_once)] = ()
    """File names of the images to show instead."""
    classes: Annotated[tuple[str, ...], AfterValidator(each_once)] = ()
    """The true classes that images are chosen from, evenly; empty for all."""
    pictures: str = ""
    """A folder, an archive or a file of pictures to explain as well, OWN or in it; empty for none."""
    methods: Annotated[tuple[Method, ...], Field(min_length=1), AfterValidator(each_once)] = get_args(Method)
    steps: Annotated[int, Field(ge=8)] = 50
    """Steps of integrated gradients."""
    tolerance: Annotated[float, Field(gt=0)] = 0.02
    """Largest error of the attributions' sum, as a share of the difference of the logits; beyond it, more steps."""
    doublings: Annotated[int, Field(ge=0, le=8)] = 5
    """Number of times the steps may be doubled to reach the tolerance."""
    samples: Annotated[int, Field(ge=1)] = 10
    """Noisy copies for the noise tunnel and GradientShap."""
    noise: Fraction = 0.15
    """Standard deviation of their noise, as a share of the range of the pixels."""
    window: Annotated[int, Field(ge=0)] = 0
    """Side of the occluded window, in px of the net's input; 0 takes an eighth of the side."""
    randomised: Annotated[int, Field(ge=0)] = 5
    """Number of stages of the sanity check with randomised weights; 0 skips it."""
    max_teraflop: Annotated[float, Field(gt=0)] = 10.0
    """Operations that explaining one run may take, about; a net that needs more is explained in less detail."""

    @property
    def attributes(self) -> bool:
        """Whether there is anything to attribute to pixels."""
        return bool(self.images or self.files or self.pictures)
