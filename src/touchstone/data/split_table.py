"""The table that preparation works on: each raw image with its split, its label and why it is left out, if so."""

from itertools import zip_longest

import numpy as np
import pandas as pd

from touchstone.config.schema.data import Data, MultiLabel
from touchstone.data import replicates, splits
from touchstone.data.copies import rows_of
from touchstone.data.groups import group_of
from touchstone.data.labels import join, names
from touchstone.data.sources import RawSet
from touchstone.data.splits import LABELLED, SPLITS, UNLABELLED
from touchstone.errors import TouchstoneError, nearest

FEW = 10  # images of a class in a held-out split
LEAST_POOL = 1.1  # times the images of a replicate, to draw them from
# Reasons for leaving images out, as they stand in the column `left_out`.
BAD_IMAGE = "bad image"
NO_LABEL = "no label"
OVER_TRAIN_SIZE = "over data.train_size"


def split_table(raw: RawSet, bad: dict[int, str], data: Data, multi_label: MultiLabel) -> pd.DataFrame:
    """Return a row per raw image in raw order: id, label, file, split, left_out (the reason, or ""), perhaps difficult.

    bad: index of an image that cannot be read -> the reason. Such images have no part in the draw of the splits, and
    keep the source's own split or "". Raises TouchstoneError where `data.fold` is set although the source has an
    official validation split.
    """
    official = {image.split for image in raw.images}
    has_val = "val" in official
    if has_val and data.fold:
        raise TouchstoneError(f"data.fold: got {data.fold!r}, but the source has a validation split of its own; set ''")
    all_labels = multi_label.difficult == "count"
    labels = [join(sorted(i.labels)) if all_labels and i.difficult else i.label for i in raw.images]
    groups = _groups(raw, data.group) if data.group else []
    keys = [f"group {group}" if group else image.id for image, group in zip_longest(raw.images, groups)]
    sound = [row for row in range(len(raw.images)) if row not in bad]
    drawn = splits.assign(
        [keys[row] for row in sound],
        [labels[row] for row in sound],
        [raw.images[row].split for row in sound],
        has_test="test" in official,
        test_fraction=data.test_fraction,
        val_fraction=0.0 if has_val else data.val_fraction,
        fold=data.fold,
        seed=data.split_seed,
    )
    assigned = [image.split for image in raw.images]
    for row, split in zip(sound, drawn, strict=True):
        assigned[row] = split
    columns = {
        "id": [image.id for image in raw.images],
        "label": labels,
        "file": [image.file for image in raw.images],
        "split": assigned,
        "left_out": [f"{BAD_IMAGE}: {bad[i]}" if i in bad else "" for i in range(len(raw.images))],
    }
    table = pd.DataFrame(columns | ({"group": groups} if groups else {}), dtype=object)
    if groups:
        _check_groups(table)
    if multi_label.difficult == "mark" and any(image.difficult for image in raw.images):
        table["difficult"] = [image.difficult for image in raw.images]
    if raw.multi_label and multi_label.without_label == "drop":
        without = (table["label"] == "") & (table["split"] != UNLABELLED) & (table["left_out"] == "")
        table.loc[without, "left_out"] = NO_LABEL
    return table


def _groups(raw: RawSet, group: str) -> list[str]:
    """Return the group of each image; "" for one that is alone: unlabelled, or with an empty cell.

    Raises TouchstoneError where `data.group` names no column, or its pattern is not found in the path of an image.
    """
    if "(" not in group:
        known = sorted({name for image in raw.images for name in image.columns})
        if group not in known:
            raise TouchstoneError(
                f"data.group: got {group!r}, expected a column of the table of images "
                f"({', '.join(known) or 'there is none'}) "
                f"or a pattern such as '(patient[0-9]+)_'{nearest(group, known)}"
            )
    else:
        for image in raw.images:
            if not group_of(image, group) and image.split != UNLABELLED:
                raise TouchstoneError(f"data.group: {group!r} finds no group in {image.file}; change the pattern")
    return [group_of(image, group) for image in raw.images]


def _check_groups(table: pd.DataFrame) -> None:
    """Raise TouchstoneError where the source's own splits tear a group apart."""
    labelled = table[(table["group"] != "") & table["split"].isin(LABELLED) & (table["left_out"] == "")]
    per_group = labelled.groupby("group")["split"].unique()
    torn = per_group[per_group.map(len) > 1]
    if len(torn):
        name, both = torn.index[0], " and ".join(sorted(torn.iloc[0]))
        raise TouchstoneError(f"data.group: {name} has images in {both} by the source's own splits; move them to one")


def few(table: pd.DataFrame, classes: list[str]) -> list[str]:
    """Return a line for each held-out split in which classes have fewer than FEW images."""
    numbers, lines = counts(table, classes), []
    for split in ("val", "test"):
        scarce = numbers[numbers[split] < FEW]
        listed = [f"{name} ({number})" for name, number in zip(scarce["class"], scarce[split], strict=True)]
        if listed and numbers[split].any():
            more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
            lines.append(f"{split}: fewer than {FEW} images of {', '.join(listed[:5])}{more}, which say little")
    return lines


def draw_training(table: pd.DataFrame, size: int, *, draws: int, multi_label: bool) -> None:
    """Draw `size` training images, all where it is 0, for each of `draws` replicates, and leave out the others.

    The lowest ids of a class, or those of the same group, come first; with several labels all images are one class.
    With more than one draw a column says which replicates have an image. Raises TouchstoneError where all would have
    nearly the same images.
    """
    rows = rows_of(table, "train")
    if draws > 1 and len(rows) < LEAST_POOL * size:
        raise TouchstoneError(
            f"train.vary: all draws data.train_size {size} training images for each replicate, and there are "
            f"{len(rows)} in all, so they would be nearly the same; lower data.train_size, or set vary: generator"
        )
    labels = [""] * len(rows) if multi_label else table["label"][rows].tolist()
    ids, groups = table["id"][rows].tolist(), table["group"][rows].tolist() if draws > 1 and "group" in table else []
    order = sorted(range(len(rows)), key=lambda place: (groups[place] if groups else "", ids[place]))
    drawn = replicates.draw(order, labels, size=size or len(rows), number=draws)
    table.loc[np.delete(rows, sorted(drawn)), "left_out"] = OVER_TRAIN_SIZE
    if draws > 1:
        table[replicates.COLUMN] = ""
        table.loc[rows[list(drawn)], replicates.COLUMN] = list(drawn.values())


def check_splits(table: pd.DataFrame, classes: list[str], data: Data, *, marked: bool) -> None:
    """Raise TouchstoneError on a class without training images, and on an empty or unlabelled split that is needed."""
    kept = table[table["left_out"] == ""]
    train = kept[kept["split"] == "train"]
    sets = [train]
    if replicates.COLUMN in train:
        numbers = sorted({int(number) for listed in train[replicates.COLUMN] for number in listed.split()})
        sets = [train.iloc[replicates.rows_of_replicate(train, number)] for number in numbers]
    trained = set.intersection(*(set(_each_label(each)) for each in sets))
    for name in classes:
        if name not in trained:
            _check_readable(table, name)
            of_each = " of a replicate" if len(sets) > 1 else ""
            raise TouchstoneError(
                f"class {name!r} has no training image{of_each} left at data.test_fraction {data.test_fraction}, "
                f"data.val_fraction {data.val_fraction}, data.train_size {data.train_size}; add images or change these"
                + (", or set multi_label.difficult: count, to count objects marked as difficult" if marked else "")
            )
    for split in ("val", "test"):
        rows = kept[kept["split"] == split]
        if len(rows) and not (rows["label"] != "").any():
            raise TouchstoneError(f"no image of the {split} split has a label, so none can be scored; label some")
    if not (kept["split"] == "test").any():
        raise TouchstoneError("the test split is empty; raise data.test_fraction, or add images or a test folder")
    if (data.val_fraction or data.fold) and not (kept["split"] == "val").any():
        raise TouchstoneError(
            f"the validation split is empty at data.val_fraction {data.val_fraction}, data.fold {data.fold!r}; "
            "raise the fraction, or set 0 for no selection"
        )


def _check_readable(table: pd.DataFrame, name: str) -> None:
    """Raise TouchstoneError where no image of the class can be read."""
    own = table[table["label"].map(lambda label: name in names(label))]
    unread = own["left_out"].str.startswith(BAD_IMAGE)
    if len(own) and unread.all():
        first = own.iloc[0]
        raise TouchstoneError(
            f"class {name!r}: none of its {len(own)} images can be read; the first: {first['file']}: "
            f"{first['left_out'].removeprefix(BAD_IMAGE + ': ')}; repair them, or remove the class"
        )


def summary(table: pd.DataFrame, near: pd.DataFrame, repeated: int, *, multi_label: bool) -> dict[str, object]:
    """Return how many images each split has, and how many were left out for each reason; see `drop_copies`."""
    kept = table[table["left_out"] == ""]
    reasons = table["left_out"]
    numbers: dict[str, object] = {
        **{f"num_{split}": int((kept["split"] == split).sum()) for split in SPLITS},
        "num_bad_images": int(reasons.str.startswith(BAD_IMAGE).sum()),
        "num_exact_copies_dropped": int(reasons.str.startswith("exact copy").sum()),
        "num_repeats_within_splits": repeated,
        "num_near_copies_dropped": int(reasons.str.startswith("near copy").sum()),
        "num_near_copies": len(near),
        "num_over_train_size": int((reasons == OVER_TRAIN_SIZE).sum()),
    }
    if replicates.COLUMN in table:
        train = kept[kept["split"] == "train"]
        first = replicates.rows_of_replicate(train, 0)
        numbers |= {"num_train_of_a_replicate": len(first), "overlap": round(replicates.overlap(train), 6)}
    if multi_label:
        without = kept[kept["label"] == ""]
        numbers |= {f"num_without_label_{split}": int((without["split"] == split).sum()) for split in LABELLED}
        numbers["num_without_label_dropped"] = int((reasons == NO_LABEL).sum())
    return numbers


def image_table(table: pd.DataFrame, sizes: np.ndarray | None) -> pd.DataFrame:
    """Return the table of an ImageSet. sizes: valid (height, width), int64 (N, 2), of padded images."""
    out = pd.DataFrame({"id": table["id"], "label": table["label"], "source_id": table["id"], "origin": "real"})
    for name in ("difficult", "group", replicates.COLUMN):
        if name in table:
            out[name] = table[name]
    if sizes is not None:
        out["height"], out["width"] = sizes[:, 0], sizes[:, 1]
    return out


def counts(table: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Return the number of images of each class (rows) and labelled split (columns), once for each of their classes."""
    labels = _each_label(table[table["left_out"] == ""])
    numbers = pd.crosstab(labels.to_numpy(), table.loc[labels.index, "split"].to_numpy())
    numbers = numbers.reindex(index=classes, columns=LABELLED, fill_value=0)
    return numbers.rename_axis(None, axis=1).rename_axis("class").reset_index()


def _each_label(table: pd.DataFrame) -> pd.Series:
    """Return each class of each row, under the row's index."""
    return table["label"].map(names).explode().dropna()
