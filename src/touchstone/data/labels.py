"""Labels of images as numbers: one class per image, or in multi-label data sets several or none.

In tables, `|` joins the classes of an image. The optional column `difficult` names classes that count neither in
training on the image nor in its scores.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from touchstone.data.imageset import class_indices, unknown_label

SEPARATOR = "|"


def names(label: str) -> list[str]:
    """Return the classes of a label: [a, b] for `a|b`, [] for ""."""
    return label.split(SEPARATOR) if label else []


def join(classes: Sequence[str]) -> str:
    """Return the label of some classes: `a|b` for [a, b]."""
    return SEPARATOR.join(classes)


def encode(table: pd.DataFrame, meta: dict[str, Any]) -> np.ndarray:
    """Return the labels of an ImageSet's table as numbers. meta: the content of data/prepared/meta.json.

    With one label per image: class indices, int64 (N,). With several: float32 (N, K), 1 where the image shows the
    class, 0 where it does not, NaN where the class is difficult. Raises TouchstoneError on an unknown label.
    """
    classes: list[str] = meta["classes"]
    if not is_multi_label(meta):
        return class_indices(table["label"], classes)
    column_of = {name: k for k, name in enumerate(classes)}
    out = np.zeros((len(table), len(classes)), np.float32)
    for column, value in (("label", 1.0), ("difficult", np.nan)):
        for row, label in enumerate(table.get(column, ())):
            for name in names(label):
                if name not in column_of:
                    raise unknown_label(name, classes)
                out[row, column_of[name]] = value
    return out


def is_multi_label(meta: dict[str, Any]) -> bool:
    """Return whether an image may have several labels, or none."""
    return bool(meta.get("multi_label", False))
