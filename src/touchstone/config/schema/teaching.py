"""Settings for students, which learn from other models."""

from typing import Annotated

from pydantic import AfterValidator, Field

from touchstone.config.schema.section import Positive, Section, Shown, each_once


class Teaching(Section):
    """The teachers of a model; the defaults are those of a model that learns from labels alone."""

    teachers: Annotated[
        tuple[str, ...], AfterValidator(each_once), Shown("trained", lambda names: f"taught by {', '.join(names)}")
    ] = ()
    """Models, whose runs on the same arm teach seed by seed: the mean of their probabilities."""
    temperature: Annotated[Positive, Shown("trained", "temperature {:g}")] = 4.0
    """The teachers' and the student's logits are divided by it."""
    teacher_weight: Annotated[float, Field(gt=0, le=1), Shown("trained", "teachers' weight {:g}")] = 0.9
    """The teachers' share of the loss; the labels have the rest."""
