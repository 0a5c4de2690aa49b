"""Folds of a training set for cross-validation, in which nothing held out has a relative among the rest."""

import numpy as np
import pandas as pd

from touchstone.data.splits import assign


def units(table: pd.DataFrame) -> list[str]:
    """Return what each image may not be separated from: its group, else the training image that it was made from.

    table: of a training set. An image without either is alone.
    """
    sources = table["source_id"].where(table["source_id"] != "", table["id"])
    names = "image " + sources.where(table["origin"] != "real", table["id"])
    if "group" not in table:
        return names.tolist()
    groups = table["group"].fillna("")
    return names.where(groups == "", "group " + groups).tolist()


def folds(table: pd.DataFrame, *, number: int) -> list[np.ndarray]:
    """Return the rows that each fold holds out; each row is in one of them. Folds without any are left out.

    Every class has as equal a share of each fold as its units allow. The folds depend on the images, not on their
    order, by the hashes that the splits are drawn by.
    """
    keys, labels = units(table), table["label"].tolist()
    nothing = {"has_test": True, "test_fraction": 0.0, "val_fraction": 0.0, "seed": 0}
    held_out = []
    for k in range(1, number + 1):
        splits = assign(keys, labels, [""] * len(keys), fold=f"{k} of {number}", **nothing)  # type: ignore[arg-type]
        held_out.append(np.flatnonzero(np.array(splits) == "val"))
    return [rows for rows in held_out if len(rows)]
