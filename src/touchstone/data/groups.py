"""The group of an image by the setting `data.group`: what stays together in every split, such as a patient."""

import re

from touchstone.data.sources import RawImage


def group_of(image: RawImage, group: str) -> str:
    """Return the group of an image, "" where it has none.

    group: a column of the table that lists the images, or a pattern with a group in brackets, which is searched for in
    the image's path.
    """
    if "(" not in group:
        return image.columns.get(group, "")
    found = re.search(group, image.file)
    return found[1] if found and found[1] else ""
