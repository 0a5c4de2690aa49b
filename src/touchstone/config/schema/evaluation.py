"""Settings for scoring and comparing runs, and for ensembles of them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from touchstone.config.schema.section import Fraction, Section, each_once

ThresholdRule = Literal["f1", "half"]
"""Rules that set the threshold of each label: at the best F1 on the validation images, or at one half."""


class Ensemble(Section):
    """Several runs whose predictions are combined."""

    rule: Literal["majority", "mean", "weighted", "greedy"]
    """weighted and greedy are means whose weights are found on the validation images."""
    members: Annotated[tuple[str, ...], Field(min_length=2), AfterValidator(each_once)]
    prefer: str = ""
    """The member that decides where a majority vote is tied."""
    thresholds: ThresholdRule = "f1"
    """With several labels per image: the thresholds by which members vote, or of the mean."""

    @property
    def finds_weights(self) -> bool:
        return self.rule in ("weighted", "greedy")


class Compare(Section):
    """Settings for scoring runs and comparing them with those on the baseline arm."""

    baseline: str = "real"
    """The arm that the others are compared with."""
    against: dict[str, str] = Field(default={})
    """Model -> the run that the model's own run on the baseline arm is compared with."""
    control: str = ""
    """The arm over which the gain of every other arm is reported as well, such as one of retrieved images; '' for the
    arm of plain copies, if there is one."""
    num_resamples: Annotated[int, Field(ge=100)] = 10_000
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    thresholds: ThresholdRule = "f1"
    """With several labels per image: how a run's thresholds are set."""
    tail_thresholds: Annotated[int, Field(ge=2)] = 20
    """With several labels per image: the number of thresholds that tail accuracy averages over."""
    tail_from: Fraction = 0.5
    """The lowest of these thresholds; the highest is a class's highest score."""
