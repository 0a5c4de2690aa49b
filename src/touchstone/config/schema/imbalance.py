"""Settings that make up for rare classes: the loss, the weights of classes in it, and the images that are drawn."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from touchstone.config.schema.section import Fraction, NonNegative, Section, Shown


class Imbalance(Section):
    """The defaults treat all images alike."""

    loss: Annotated[Literal["cross_entropy", "focal"], Shown("optimizer", "{} loss")] = "cross_entropy"
    focal_gamma: Annotated[NonNegative, Shown("optimizer", "gamma {:g}")] = 2.0
    """For focal: the power of 1 - p by which an image counts, p being the probability of its class."""
    class_weights: Annotated[Literal["none", "balanced", "effective"], Shown("optimizer", "{} class weights")] = "none"
    """balanced weights each class in the loss inversely to its number of images; effective, inversely to its effective
    number (the class-balanced loss)."""
    effective_beta: Annotated[Fraction, Shown("optimizer", "beta {:g}")] = 0.999
    """For effective: n images count as (1 - beta**n) / (1 - beta)."""
    sampler: Annotated[Literal["shuffle", "weighted"], Shown("batch", "{} sampler")] = "shuffle"
    """weighted draws images with replacement, with probabilities inverse to the number of images of their class."""
    sampler_power: Annotated[float, Field(gt=0, le=1), Shown("batch", "power {:g}")] = 1.0
    """For weighted: the power of the inverse number; 1 draws all classes equally often, 0.5 is between."""

    @model_validator(mode="after")
    def _one_remedy(self) -> "Imbalance":
        if self.sampler == "weighted" and self.class_weights != "none":
            raise ValueError(
                "set sampler: weighted or class_weights, not both: each alone makes up for rare classes, and together "
                "they count them twice"
            )
        return self

    @property
    def gamma(self) -> float | None:
        """The focal loss's gamma; None for cross-entropy."""
        return self.focal_gamma if self.loss == "focal" else None

    @property
    def balance(self) -> float:
        """The power of the inverse class frequency by which images are drawn; 0 shows each once an epoch."""
        return self.sampler_power if self.sampler == "weighted" else 0.0
