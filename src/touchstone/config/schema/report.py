"""What the report shows."""

from typing import Annotated

from pydantic import Field

from touchstone.config.schema.section import Section


class Report(Section):
    """Numbers of images in the report and on contact sheets."""

    worst: Annotated[int, Field(ge=0)] = 24
    """Worst predictions of each run."""
    sheet: Annotated[int, Field(ge=1)] = 64
    """Images of a contact sheet."""
