"""Finds images of one split that copy those of another: the same bytes or pixels, or too similar by chance."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from touchstone.data.labels import SEPARATOR
from touchstone.data.lazy_images import release
from touchstone.data.neighbours import gather
from touchstone.data.thumbnails import is_textured, thumbnails

CLOSE = 5, 20  # the least and the largest number of neighbours, k of near_copies
UNLIKE = 0.45  # the largest distance of near copies, a cosine of 0.9 between thumbnails
ALPHA = 0.01  # of near_copies, over all held-out images
BLOCK = 2048  # images hashed at a time
REPEATS = ("file", "label", "split", "other_file", "other_label", "other_split", "same")


def drop_copies(
    table: pd.DataFrame, images: np.ndarray, sizes: np.ndarray, *, drop_near: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mark training and validation images that copy held-out ones, in the column `left_out` of the table.

    table: a row per image, see `split_table`. images: pixels (N, H, W, C), of valid `sizes` (N, 2). A copy is kept in
    test rather than in val, and in val rather than in train. Near copies are marked only with `drop_near`. Returns the
    near copies, a row per pair, and the repeats: a row per image with the bytes or prepared pixels of an earlier one,
    with the labels of both. Repeats within a split stay.
    """
    repeats = _drop_exact(table, images)
    small = thumbnails(images, sizes)
    pairs = (("test", "train"), ("test", "val"), ("val", "train"))
    near = pd.concat([_near(table, small, held_out, kept) for held_out, kept in pairs], ignore_index=True)
    if drop_near:
        left_out = {
            row: f"near copy of {file} in {split}"
            for row, split, file in zip(near["copy_row"], near["split"], near["file"], strict=True)
        }
        table.loc[list(left_out), "left_out"] = list(left_out.values())
    return near.drop(columns="copy_row"), repeats


def _drop_exact(table: pd.DataFrame, images: np.ndarray) -> pd.DataFrame:
    """Mark images with the bytes or prepared pixels of another split's; return all repeats, also within a split."""
    first: dict[str | bytes, tuple[str, str, str]] = {}
    repeats, left_out = [], {}
    rank = {"test": 0, "val": 1, "train": 2}
    rows = table[(table["left_out"] == "") & table["split"].isin(rank)]
    digests = _digests(images)
    _, group, count = np.unique(digests[rows.index], return_inverse=True, return_counts=True)
    rows = rows[(count[group] > 1) | rows["id"].duplicated(keep=False)]  # others need no place in `first`
    order = rows.assign(rank=rows["split"].map(rank)).sort_values(["rank", "id", "file"])
    for row, image_id, split, label, file in order[["id", "split", "label", "file"]].itertuples():
        keys = image_id, digests[row]
        earlier = next((first[key] for key in keys if key in first), None)
        if earlier is not None:
            repeats.append(
                (file, label, split, earlier[2], earlier[1], earlier[0], "bytes" if image_id in first else "pixels")
            )
        if earlier is not None and earlier[0] != split:
            other = "" if earlier[1] == label else f", labelled {earlier[1]} there"
            left_out[row] = f"exact copy of {earlier[2]} in {earlier[0]}{other}"
            continue
        for key in keys:
            first.setdefault(key, (split, label, file))
    table.loc[list(left_out), "left_out"] = list(left_out.values())
    return pd.DataFrame(repeats, columns=REPEATS).sort_values("file", kind="stable")


def _digests(images: np.ndarray) -> np.ndarray:
    """Return the sha256 of the size and the pixels of each image, 32 bytes (N,)."""
    digests = np.empty(len(images), "S32")
    for row, pixels in enumerate(images):
        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).data)
        digests[row] = digest.digest()
        if row % BLOCK == 0:
            release(images)
    return digests


def _near(table: pd.DataFrame, small: np.ndarray, held_out: str, kept: str) -> pd.DataFrame:
    """Return a row per pair of near copies in two splits, the least likely pair first."""
    held_out_rows, kept_rows = rows_of(table, held_out), rows_of(table, kept)
    labels = table["label"][kept_rows].str.split(SEPARATOR).explode()
    images_per_class = len(labels) / max(1, labels.nunique())
    close = int(np.clip(images_per_class / 10, *CLOSE))
    pairs = near_copies(small[held_out_rows], small[kept_rows], close=close)
    originals, copies = held_out_rows[pairs.held_out], kept_rows[pairs.train]
    return pd.DataFrame(
        {
            "split": held_out,
            "file": table["file"].to_numpy()[originals],
            "copy_split": kept,
            "copy_file": table["file"].to_numpy()[copies],
            "mirrored": pairs.mirrored,
            "distance": pairs.distance.round(3),
            "log10_p": pairs.log10_p.round(1),
            "copy_row": copies,
        }
    ).sort_values(["log10_p", "file", "copy_file"], kind="stable")


def rows_of(table: pd.DataFrame, split: str) -> np.ndarray:
    """Return the rows of a split that are not left out, sorted by id."""
    chosen = table.index[(table["split"] == split) & (table["left_out"] == "")]
    key = dict(zip(chosen, zip(table["id"][chosen], table["file"][chosen], strict=True), strict=True))
    return np.array(sorted(key, key=key.__getitem__), np.int64)


@dataclass(frozen=True)
class NearCopies:
    """P pairs of a held-out image and a training image that is a near copy of it."""

    held_out: np.ndarray
    """Rows of the held-out images, int64 (P,)."""
    train: np.ndarray
    """Rows of the training images, int64 (P,)."""
    mirrored: np.ndarray
    """Whether the training image is mirrored, bool (P,)."""
    distance: np.ndarray
    """Distance between the thumbnails, 0 to 0.45, float64 (P,)."""
    log10_p: np.ndarray
    """Logarithm of the probability of so near a neighbour at that place, float64 (P,)."""


def near_copies(held_out: np.ndarray, train: np.ndarray, *, close: int) -> NearCopies:
    """Find all training images, plain or mirrored, that are near copies of held-out ones.

    Both are thumbnails, uint8 (N, D).

    How near a copy is depends on the data set and on the place in it: small digits lie close together by nature. If
    images were spread evenly around the held-out one in d dimensions, the nearest of its k neighbours (`close`) would
    be nearer than r times the k-th with probability p = 1 - (1 - r^d)^(k - 1). d is estimated for each image from its
    neighbours k to 4k (Levina & Bickel 2004, "Maximum likelihood estimation of intrinsic dimension"). k should be well
    below the number of images of a class; up to k - 1 copies do not hide one another. A near copy has p below ALPHA
    divided by the number of held-out images, and a cosine above 0.9. p orders the pairs and adapts the threshold to the
    data, but it is not an error rate. On CIFAR-10 this finds copies of 3.4 % of the test images, all of their own
    class; 3.3 % were found by eye (ciFAIR; Barz & Denzler 2020, arXiv 1902.00423). Images of a single colour are
    ignored. With fewer than 4k training images, mirrored ones included, no pair is returned.
    """
    plain, textured = np.flatnonzero(is_textured(train)), np.flatnonzero(is_textured(held_out))
    none = np.zeros(0, np.int64)
    pairs = [(none, none, none.astype(bool), none.astype(float), none.astype(float))]
    if 2 * len(plain) >= 4 * close and len(textured):
        limit = np.log10(ALPHA / len(held_out))
        images = train if len(plain) == len(train) else train[plain]  # usually all, and then not copied
        for row, nearest, distance in gather(held_out[textured], images, within=UNLIKE, count=4 * close):
            log10_p = _log10_p(distance, close)
            image, neighbour = np.nonzero((log10_p <= limit) & (distance[:, :close] <= UNLIKE))
            match = nearest[image, neighbour]
            # Of a training image that is near both plain and mirrored, only the nearer pair is kept, which comes first.
            _, keep = np.unique(np.stack([image, match % len(plain)], 1), axis=0, return_index=True)
            image, neighbour, match = image[keep], neighbour[keep], match[keep]
            place = image, neighbour
            original, copy = textured[row[image]], plain[match % len(plain)]
            pairs.append((original, copy, match >= len(plain), distance[place], log10_p[place]))
    return NearCopies(*(np.concatenate(column) for column in zip(*pairs, strict=True)))


def _log10_p(distance: np.ndarray, close: int) -> np.ndarray:
    """Return the logarithms of p of the k = `close` nearest (B, k), from the ascending distances of 4k (B, 4k)."""
    spread = np.log(distance[:, -1:] / distance[:, close - 1 : -1]).mean(1, keepdims=True)
    ratio = distance[:, :close] / distance[:, close - 1 : close]
    nearer = np.exp(np.log(ratio) / np.maximum(spread, 1e-3))  # r^d
    return np.log10(np.maximum(-np.expm1((close - 1) * np.log1p(-np.minimum(nearer, 1 - 1e-12))), 1e-300))
