"""Images of one split that are copies of another's: the same bytes or pixels, or too like to be chance."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from touchstone.resize import scale

SIDE = 8  # px, of the thumbnails that near copies are sought in
CLOSE, FAR = 5, 20  # neighbours: k and K of near_copies
ALPHA = 0.01  # false near copies to be expected in a whole split
BLOCK = 256  # rows of distances at a time


def drop_copies(table: pd.DataFrame, images: np.ndarray, *, drop_near: bool) -> pd.DataFrame:
    """Mark training and validation images that copy held-out ones in `left_out`; returns the near copies found.

    table: a row an image of `images` (uint8 (N, H, W, C)) with id, label, file, split, left_out ("" for those in).
    Near copies are marked with `drop_near` only.
    """
    _drop_exact(table, images)
    pairs = (("test", "train"), ("test", "val"), ("val", "train"))
    near = pd.concat([_near(table, images, held_out, kept) for held_out, kept in pairs], ignore_index=True)
    if drop_near:
        for row, split, file in zip(near["copy_row"], near["split"], near["file"], strict=True):
            table.loc[row, "left_out"] = f"near copy of {file} in {split}"
    return near.drop(columns="copy_row")


def _drop_exact(table: pd.DataFrame, images: np.ndarray) -> None:
    """Equal bytes or equal prepared pixels: test goes before val, val before train; test keeps all of its own."""
    first: dict[str, tuple[str, str, str]] = {}
    rank = {"test": 0, "val": 1, "train": 2}
    rows = table[(table["left_out"] == "") & table["split"].isin(rank)]
    order = rows.assign(rank=rows["split"].map(rank)).sort_values(["rank", "id", "file"])
    for row, image_id, split, label, file in order[["id", "split", "label", "file"]].itertuples():
        keys = image_id, hashlib.sha256(images[row]).hexdigest()
        earlier = next((first[key] for key in keys if key in first), None)
        if earlier is not None and split != "test":
            other = "" if earlier[1] == label else f", labelled {earlier[1]} there"
            table.loc[row, "left_out"] = f"exact copy of {earlier[2]} in {earlier[0]}{other}"
            continue
        for key in keys:
            first.setdefault(key, (split, label, file))


def _near(table: pd.DataFrame, images: np.ndarray, held_out: str, kept: str) -> pd.DataFrame:
    query, known = rows_of(table, held_out), rows_of(table, kept)
    copies = near_copies(images[query], images[known])
    found = np.flatnonzero(copies.found)
    rows = known[copies.row[found]] if len(found) else found
    return pd.DataFrame(
        {
            "split": held_out,
            "file": table["file"].to_numpy()[query[found]],
            "copy_split": kept,
            "copy_file": table["file"].to_numpy()[rows],
            "mirrored": copies.mirrored[found],
            "distance": copies.distance[found].round(3),
            "log10_p": copies.log10_p[found].round(1),
            "copy_row": rows,
        }
    ).sort_values("log10_p", kind="stable")


def rows_of(table: pd.DataFrame, split: str) -> np.ndarray:
    """Rows of a split that are in, sorted by id."""
    chosen = table[(table["split"] == split) & (table["left_out"] == "")]
    return chosen.sort_values(["id", "file"]).index.to_numpy()


@dataclass(frozen=True)
class NearCopies:
    """For each of N held-out images its nearest of M training images.

    row: int64 (N,), -1 where there are too few training images to tell. mirrored: bool (N,), whether the training
    image had to be flipped. distance: float64 (N,), between contrast-normalised thumbnails, 0 to 2. log10_p: float64
    (N,), how unlikely a neighbour this near is where the image lies.
    """

    row: np.ndarray
    mirrored: np.ndarray
    distance: np.ndarray
    log10_p: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """bool (N,): near copies, with ALPHA false ones to be expected among all N."""
        return self.log10_p <= np.log10(ALPHA / max(1, len(self.row)))


def near_copies(held_out: np.ndarray, train: np.ndarray) -> NearCopies:
    """The nearest training image of each held-out one, plain or mirrored, and whether it is too near for chance.

    Both uint8 (N, H, W, C). What is near depends on the data set, and on the place in it: small digits lie close
    together by nature. Were images spread evenly around the held-out one, in D dimensions, the ratio of the distances
    to the nearest and to the k-th neighbour would be below r with probability 1 - (1 - r^D)^(k - 1). D is estimated
    for each image from its neighbours k to K (Levina & Bickel 2004, "Maximum likelihood estimation of intrinsic
    dimension"), which a copy or three do not disturb. On CIFAR-10 this finds 3.4 % of the test images; by eye 3.3 %
    were found (ciFAIR; Barz & Denzler 2020, "Do we train on test data?").
    """
    count, known = len(held_out), np.concatenate([thumbnails(train), thumbnails(train[:, :, ::-1])])
    if len(known) < FAR:
        return NearCopies(np.full(count, -1), np.zeros(count, bool), np.full(count, np.inf), np.zeros(count))
    row, distance = _nearest(thumbnails(held_out), known)  # (N,), (N, FAR)
    spread = np.log(distance[:, -1:] / distance[:, CLOSE - 1 : -1]).mean(1)
    dimension = 1 / np.maximum(spread, 1e-9)
    ratio = distance[:, 0] / distance[:, CLOSE - 1]
    log10_p = np.log10(np.maximum(1 - (1 - ratio**dimension) ** (CLOSE - 1), 1e-300))
    return NearCopies(row % len(train), row >= len(train), distance[:, 0], log10_p)


def thumbnails(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) -> float32 (N, 8 * 8 * C): area averages, mean 0 and norm 1 each, so that brightness and
    contrast do not count; all 0 for an image of one colour."""
    if not len(images):
        return np.zeros((0, SIDE * SIDE * images.shape[-1]), np.float32)
    flat = np.stack([scale(np.ascontiguousarray(image), SIDE, SIDE).ravel() for image in images]).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _nearest(query: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `query` its nearest row of `known` (N,) and the distances to the FAR nearest (N, FAR)."""
    row = np.zeros(len(query), np.int64)
    distance = np.zeros((len(query), FAR))
    for start in range(0, len(query), BLOCK):
        likeness = query[start : start + BLOCK] @ known.T  # cosines, (B, M)
        row[start : start + BLOCK] = likeness.argmax(1)
        nearest = -np.sort(-np.partition(likeness, -FAR, axis=1)[:, -FAR:], axis=1)
        distance[start : start + BLOCK] = np.sqrt(np.maximum(2 - 2 * nearest.astype(np.float64), 1e-12))
    return row, np.maximum(distance, 1e-6)  # no distance of 0 among the logarithms
