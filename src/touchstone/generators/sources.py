"""The training images from which an image-to-image generator makes its samples."""

from collections.abc import Sequence

import numpy as np

from touchstone.data.batches import View
from touchstone.data.imageset import ImageSet, class_indices, valid_sizes
from touchstone.seeds import generator


class Sources:
    """The training images of a replicate, by class. size_px: side of the squares that are shown.

    Image k of class c is made from one of the class's images, which are taken in an order of their own in each round: a
    function of (seed, c, k), so that blocks and kills change nothing.
    """

    def __init__(self, images: ImageSet, *, classes: list[str], size_px: int, seed: int) -> None:
        self.images, self.seed, self.view = images, seed, View(size_px, size_px)
        labels = class_indices(images.table["label"], classes)
        self.rows_of = [np.flatnonzero(labels == c) for c in range(len(classes))]

    def rows(self, c: int, numbers: Sequence[int]) -> list[int]:
        """Return the rows of the training images from which the images `numbers` of class c are made."""
        rows = self.rows_of[c]
        orders = {r: generator(self.seed, "source", c, r).permutation(rows) for r in {k // len(rows) for k in numbers}}
        return [int(orders[k // len(rows)][k % len(rows)]) for k in numbers]

    def pixels(self, c: int, numbers: Sequence[int]) -> np.ndarray:
        """Return these training images, uint8 (B, S, S, C)."""
        rows, sizes = np.array(self.rows(c, numbers)), valid_sizes(self.images.table)
        return self.view.squares(self.images.images[rows], None if sizes is None else sizes[rows])

    def ids(self, c: int, numbers: Sequence[int]) -> list[str]:
        """Return their ids."""
        return self.images.table["id"].iloc[self.rows(c, numbers)].tolist()
