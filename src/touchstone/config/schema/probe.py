"""Settings for fitting the linear head of a probe."""

import math
from typing import Annotated

from pydantic import AfterValidator, Field

from touchstone.config.schema.section import Section


def _inverse_strength(value: float | str) -> float | str:
    if value == "auto" or (not isinstance(value, str) and 0 < value < math.inf):
        return value
    raise ValueError("expected a number above 0, or auto: the one with the lowest cross-validated log loss")


class Probe(Section):
    """A linear probe: logistic regression on the frozen features of a net."""

    C: Annotated[float | str, AfterValidator(_inverse_strength)] = "auto"
    """Inverse of the regularisation strength, as in scikit-learn: the sum of the losses, times C, plus half the sum of
    the squared weights is minimised. auto chooses it by cross-validation in the training images of each replicate."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Number of folds of the cross-validation."""

    @property
    def summary(self) -> str:
        """The words of the report: how C was set."""
        return f"C by {self.folds}-fold cross-validation" if self.C == "auto" else f"C {self.C:g}"
