"""Replicates: independent repetitions of an experiment, which may have training images and added images of their own.

The column `replicates` of an image set's table lists the numbers of those that have an image, such as "0 3". Without
it, all of them do.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pandas as pd

from touchstone.data.imageset import ImageSet, group_indices

COLUMN = "replicates"


def of_replicate(images: ImageSet, number: int) -> ImageSet:
    """Return the images that a replicate has: a copy of them, or all as they are where replicates share them."""
    if COLUMN not in images.table:
        return images
    own = images.take(rows_of_replicate(images.table, number))
    return ImageSet(own.images, own.table.drop(columns=COLUMN))


def rows_of_replicate(table: pd.DataFrame, number: int) -> list[int]:
    """Return the rows of the images that a replicate has."""
    return [row for row, listed in enumerate(table[COLUMN]) if str(number) in listed.split()]


def draw(order: Sequence[int], labels: Sequence[str], *, size: int, number: int) -> dict[int, str]:
    """Draw the training images of `number` replicates. Return row -> the replicates that have it, as in the table.

    order: rows in the order in which they are drawn. labels: the class of each row. Each replicate takes as many images
    of a class, `size` in all, the classes in turn, and goes on in the order where the one before it stopped; at the end
    it begins anew. So replicates share no image as long as there are enough, and another one changes none before it.
    """
    of_class: dict[str, list[int]] = defaultdict(list)
    for row in order:
        of_class[labels[row]].append(row)
    ranked = sorted((rank, name) for name, rows in of_class.items() for rank in range(len(rows)))
    counts = Counter(name for _, name in ranked[:size])
    drawn: dict[int, list[str]] = defaultdict(list)
    for name, rows in of_class.items():
        for replicate in range(number):
            for place in range(replicate * counts[name], (replicate + 1) * counts[name]):
                drawn[rows[place % len(rows)]].append(str(replicate))
    return {row: " ".join(replicates) for row, replicates in drawn.items()}


def overlap(table: pd.DataFrame) -> float:
    """Return the share of a replicate's training images that another one has too, as a mean over all pairs.

    Where images come in groups, it is the share of those whose group the other one has. It is 1 where all replicates
    share their images.
    """
    if COLUMN not in table:
        return 1.0
    groups = group_indices(table)
    units = np.arange(len(table)) if groups is None else groups
    has = [set(listed.split()) for listed in table[COLUMN]]
    rows = {number: [number in each for each in has] for number in sorted(set().union(*has))}
    shares = [np.isin(units[rows[a]], units[rows[b]]).mean() for a, b in permutations(rows, 2)]
    return float(np.mean(shares)) if shares else 0.0


def together(sets: Sequence[ImageSet], images: np.ndarray) -> ImageSet:
    """Return the sets of several replicates, in their order, as one. images: all their images, one set after another.

    A single set is that of all replicates.
    """
    if len(sets) == 1:
        return sets[0]
    tables = [one.table.assign(**{COLUMN: str(number)}) for number, one in enumerate(sets)]
    return ImageSet(images, pd.concat(tables, ignore_index=True))
