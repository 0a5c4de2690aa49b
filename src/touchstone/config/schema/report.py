"""The title of the report, and how many images it shows."""

from typing import Annotated

from pydantic import Field

from touchstone.config.schema.section import Section


class Report(Section):
    """Title of the report, and numbers of images in it and on contact sheets."""

    title: str = ""
    """Title of the study; "" for the name of the data source or, of a folder, its classes."""
    worst: Annotated[int, Field(ge=0)] = 24
    """Number of worst predictions shown of each run."""
    sheet: Annotated[int, Field(ge=1)] = 64
    """Number of images on a contact sheet."""
