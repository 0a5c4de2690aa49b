"""The table that preparation works on: a row a raw image, its split, its label, and why it is left out, if it is."""

from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.sections import Data, MultiLabel
from touchstone.data import splits
from touchstone.data.copies import rows_of
from touchstone.data.labels import join, names
from touchstone.data.sources import RawImage, RawSet
from touchstone.errors import TouchstoneError

SPLITS = ("train", "val", "test", "unlabelled")


def split_table(raw: RawSet, bad: dict[int, str], data: Data, several: MultiLabel) -> pd.DataFrame:
    """One row a raw image, in raw order: id, label, file, split, left_out (the reason, or ""); difficult, where classes
    are marked so.

    bad: the reasons of images that cannot be read, by their number.
    """
    official = {image.split for image in raw.images}
    own_val = "val" in official
    if own_val and data.fold:
        raise TouchstoneError(f"data.fold: got {data.fold!r}, but the source has a validation split of its own; set ''")
    rules: dict[str, Any] = {
        "has_test": "test" in official,
        "test_fraction": data.test_fraction,
        "val_fraction": 0.0 if own_val else data.val_fraction,
        "fold": "" if own_val else data.fold,
        "seed": data.split_seed,
    }
    rows = [
        {
            "id": image.id,
            "label": _label(image, several),
            "file": image.file,
            "split": splits.assign(image.id, image.split, **rules),
            "left_out": f"bad image: {bad[i]}" if i in bad else "",
        }
        for i, image in enumerate(raw.images)
    ]
    table = pd.DataFrame(rows, columns=["id", "label", "file", "split", "left_out"])
    if several.difficult == "mark" and any(image.difficult for image in raw.images):
        table["difficult"] = [image.difficult for image in raw.images]
    if raw.multi_label and several.without_label == "drop":
        without = (table["label"] == "") & (table["split"] != "unlabelled") & (table["left_out"] == "")
        table.loc[without, "left_out"] = "no label"
    return table


def _label(image: RawImage, several: MultiLabel) -> str:
    """With the difficult classes, where these count like others."""
    return join(sorted(image.labels)) if several.difficult == "count" and image.difficult else image.label


def cap_training(table: pd.DataFrame, size: int, *, multi_label: bool) -> None:
    """Leave out training images beyond `size`, the classes in turn; of several labels an image, by ids alone."""
    rows = rows_of(table, "train")
    labels = [""] * len(rows) if multi_label else table["label"][rows].tolist()
    kept = splits.cap(table["id"][rows].tolist(), labels, size)
    over = np.setdiff1d(np.arange(len(rows)), kept)
    table.loc[rows[over], "left_out"] = "over data.train_size"


def check_splits(table: pd.DataFrame, classes: list[str], data: Data, *, marked: bool) -> None:
    """Raise TouchstoneError on a class without training images, and on a split that is empty and must not be.

    marked: whether objects are marked as difficult.
    """
    kept = table[table["left_out"] == ""]
    learnt = set(_each_label(kept[kept["split"] == "train"]))
    for name in classes:
        if name not in learnt:
            raise TouchstoneError(
                f"class {name!r} has no training image left at data.test_fraction {data.test_fraction}, "
                f"data.val_fraction {data.val_fraction}, data.train_size {data.train_size}; add images or change these"
                + (" (objects marked as difficult count with multi_label.difficult: count)" if marked else "")
            )
    for split in ("val", "test"):
        rows = kept[kept["split"] == split]
        if len(rows) and not (rows["label"] != "").any():
            raise TouchstoneError(f"no image of the {split} split has a label: nothing can be scored there; add some")
    if not (kept["split"] == "test").any():
        raise TouchstoneError("the test split is empty; raise data.test_fraction, or add images or a test folder")
    if (data.val_fraction or data.fold) and not (kept["split"] == "val").any():
        raise TouchstoneError(
            f"the validation split is empty at data.val_fraction {data.val_fraction}, data.fold {data.fold!r}; "
            "raise the fraction, or set 0 for no selection"
        )


def summary(table: pd.DataFrame, near: pd.DataFrame, repeated: int, *, multi_label: bool) -> dict[str, object]:
    """How many images each split has, and how many were left out for which reason."""
    kept = table[table["left_out"] == ""]
    reasons = table["left_out"]
    without = kept[kept["label"] == ""]
    unlabelled: dict[str, object] = {
        f"num_without_label_{split}": int((without["split"] == split).sum()) for split in SPLITS[:3]
    }
    several: dict[str, object] = unlabelled | {"num_without_label_dropped": int((reasons == "no label").sum())}
    return {
        **{f"num_{split}": int((kept["split"] == split).sum()) for split in SPLITS},
        "num_bad_images": int(reasons.str.startswith("bad image").sum()),
        "num_exact_copies_dropped": int(reasons.str.startswith("exact copy").sum()),
        "num_repeats_within_splits": repeated,
        "num_near_copies_dropped": int(reasons.str.startswith("near copy").sum()),
        "num_near_copies": len(near),
        "num_over_train_size": int((reasons == "over data.train_size").sum()),
    } | (several if multi_label else {})


def image_table(table: pd.DataFrame, sizes: np.ndarray | None) -> pd.DataFrame:
    """The table of an ImageSet of all rows; sizes: valid (height, width) where the storage is padded."""
    out = pd.DataFrame({"id": table["id"], "label": table["label"], "source_id": table["id"], "origin": "real"})
    if "difficult" in table:
        out["difficult"] = table["difficult"]
    if sizes is not None:
        out["height"], out["width"] = sizes[:, 0], sizes[:, 1]
    return out


def counts(table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Images a class and split, classes in order; the unlabelled ones have no class, others may have several."""
    kept = table[table["left_out"] == ""]
    each = _each_label(kept)
    found = pd.crosstab(each.to_numpy(), kept["split"].loc[each.index].to_numpy()).reindex(
        index=classes, columns=SPLITS[:3], fill_value=0
    )
    return found.rename_axis(None, axis=1).rename_axis("class").reset_index()


def _each_label(table: pd.DataFrame) -> pd.Series:
    """A row a label: rows of several labels recur, rows without one are gone."""
    return table["label"].map(names).explode().dropna()
