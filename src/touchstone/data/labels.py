"""Labels of images as numbers: a class each, or, where the data set says so, several classes or none.

In tables several classes of an image are joined by `|`. The column `difficult`, where there is one, names classes of
which it is not to count whether they are there.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from touchstone.data.imageset import class_indices
from touchstone.errors import TouchstoneError

JOINT = "|"


def names(label: str) -> list[str]:
    """`a|b` -> a, b; "" -> none."""
    return label.split(JOINT) if label else []


def join(classes: Sequence[str]) -> str:
    """a, b -> `a|b`."""
    return JOINT.join(classes)


def encode(table: pd.DataFrame, meta: dict[str, Any]) -> np.ndarray:
    """Labels of an ImageSet's table as numbers; meta: what preparation wrote to meta.json.

    int64 (N,), the number of each image's class; with several labels an image float32 (N, K), 1 where a class is there,
    0 where it is not, NaN where that is not to count. Raises TouchstoneError on a label that is none of the classes.
    """
    if not is_multi_label(meta):
        return class_indices(table["label"], meta["classes"])
    return _matrix(table, meta["classes"])


def is_multi_label(meta: dict[str, Any]) -> bool:
    """Whether an image may have several labels, or none."""
    return bool(meta.get("multi_label", False))


def _matrix(table: pd.DataFrame, classes: list[str]) -> np.ndarray:
    number = {name: k for k, name in enumerate(classes)}
    out = np.zeros((len(table), len(classes)), np.float32)
    for column, value in (("label", 1.0), ("difficult", np.nan)):
        for row, label in enumerate(table.get(column, ())):
            for name in names(label):
                if name not in number:
                    raise TouchstoneError(f"label {name!r} is none of the classes {', '.join(classes)}")
                out[row, number[name]] = value
    return out
