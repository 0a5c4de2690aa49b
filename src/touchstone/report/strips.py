"""The same training images under each transform."""

import io
from collections.abc import Sequence

import numpy as np

from touchstone.data.imageset import ImageSet
from touchstone.data.sheets import gallery, spread, valid_area

COUNT = 8  # images in a strip


def chosen(train: ImageSet) -> list[int]:
    """The rows of the training images that strips show, from as many classes as there are."""
    return spread(train.table["label"].tolist(), COUNT)


def plain(train: ImageSet, rows: Sequence[int]) -> bytes:
    """A PNG of these training images, one beside the other."""
    return _png([valid_area(train, row) for row in rows])


def transformed(added: ImageSet, train: ImageSet, rows: Sequence[int]) -> bytes:
    """A PNG of what a transform made of these training images. Of several from one image, the first is shown."""
    sources = added.table["source_id"].tolist()
    made = [valid_area(added, sources.index(train.table["id"].iloc[row])) for row in rows]
    return _png(made, beside=[valid_area(train, row) for row in rows])


def _png(images: Sequence[np.ndarray], beside: Sequence[np.ndarray] = ()) -> bytes:
    buffer = io.BytesIO()
    gallery(images, beside=beside).save(buffer, format="PNG")
    return buffer.getvalue()
