"""How many images the report shows."""

from typing import Annotated

from pydantic import Field

from touchstone.config.schema.section import Section


class Report(Section):
    """Numbers of images in the report and on contact sheets."""

    worst: Annotated[int, Field(ge=0)] = 24
    """Number of worst predictions shown of each run."""
    sheet: Annotated[int, Field(ge=1)] = 64
    """Number of images on a contact sheet."""
