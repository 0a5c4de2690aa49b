"""Settings for measuring added sets against real images."""

from typing import Annotated, Any

from pydantic import Field

from touchstone.config.schema.model import Model
from touchstone.config.schema.section import Count, Section, Seed


class _Audit(Section):
    seed: Seed
    """Seed of the encoder and of every random draw of the audit."""
    num_draws: Annotated[int, Field(ge=2)] = 10
    """Number of matched subsamples."""
    num_splits: Annotated[int, Field(ge=20)] = 100
    """Number of honest splits that the null distribution of nearness to training images is made of."""
    neighbours: Count = 5
    """Number of neighbours in precision, recall, density and coverage."""
    pairs: Count = 32
    """Number of closest pairs that are shown."""


class AuditEntry(_Audit):
    """The section `audit` of params.yaml."""

    encoder: dict[str, Any]
    """The classifier whose features are used: an entry like those of `models`."""


class Audit(_Audit):
    """The section `audit`, with its encoder resolved."""

    encoder: Model
