"""Settings for the search that `budget: tuned` asks for, and the result of one."""

from typing import Annotated

from pydantic import AfterValidator, Field

from touchstone.config.schema.section import NonNegative, Positive, Section, Seed, each_once


def _around_one(values: tuple[float, float]) -> tuple[float, float]:
    if not values[0] <= 1 <= values[1]:
        raise ValueError("expected the smallest and the largest factor, with 1 between them, such as [0.1, 10]")
    return values


Factors = Annotated[tuple[Positive, Positive], AfterValidator(_around_one)]


class Tune(Section):
    """The search: as many trials for the baseline as for every other arm, judged on the validation images.

    Each trial trains the first replicate alone. The first trial has the model's own settings, so a search never ends
    with settings that are worse on the validation images.
    """

    trials: Annotated[int, Field(ge=2)] = 16
    """Number of trials of each run."""
    seed: Seed = 0
    """Seed of the search; all runs share it."""
    lr: Factors = (0.1, 10.0)
    """Smallest and largest factor of the learning rates; `[1, 1]` leaves them alone."""
    weight_decay: Annotated[tuple[NonNegative, ...], AfterValidator(each_once)] = (0.0, 0.0001, 0.001, 0.01)
    """Values that are tried beside the model's own."""
    steps: Factors = (0.5, 2.0)
    """Smallest and largest factor of the steps or epochs."""
    strength: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Smallest strength of the online augmentation; 1 is the model's own, the strongest one, and 0 none."""


class Tuned(Section):
    """Settings that a search found, relative to the model's own; the defaults change nothing."""

    lr: Positive = 1.0
    """Factor of the learning rates."""
    weight_decay: NonNegative | None = None
    """None keeps each phase's own."""
    steps: Positive = 1.0
    """Factor of the steps or epochs, and of the steps between two validations."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of the model's online augmentation, mixup and cutmix."""


TRIAL_COLUMNS = ("trial", *Tuned.model_fields, "state", "last_step", "score", "val_loss", "chosen")
"""The columns of a table of trials. score: what weights are selected by, or minus the validation loss, at its best."""
