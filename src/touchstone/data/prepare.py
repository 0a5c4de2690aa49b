"""Raw images of any source -> the prepared splits. After it no stage knows which data set it was.

Writes below one folder
  train, val, test, unlabelled   ImageSets, rows sorted by id
  meta.json                      classes and how images were prepared
  files.csv                      split,row,file,label: the names, for humans
  findings/                      counts.csv, left_out.csv, near_copies.csv, summary.json
"""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from touchstone.config.sections import Data, MultiLabel
from touchstone.data import split_table
from touchstone.data.copies import drop_copies, rows_of
from touchstone.data.imageset import ImageSet, replaced
from touchstone.data.ops.resize import edges, resize
from touchstone.data.sheets import save_with_sheet
from touchstone.data.sources import RawSet
from touchstone.errors import BadImage, TouchstoneError

BLOCK = 64  # images a task
AS_IT_IS = MultiLabel()


@dataclass
class _Pixels:
    """Prepared pixels of all raw images: uint8 (N, H, W, C), valid sizes int64 (N, 2), reasons of the bad ones."""

    images: np.ndarray
    sizes: np.ndarray
    bad: dict[int, str]


def prepare(raw: RawSet, *, data: Data, several: MultiLabel = AS_IT_IS, to: Path, sheet_size: int) -> dict[str, object]:
    """Decode, resize, split, look for copies, write. Returns the summary that findings/summary.json holds.

    several: what is done with images of several labels, or none. Raises TouchstoneError on undecodable images
    (`data.bad_images: fail`), on a class without training images, and on an empty test split.
    """
    to.mkdir(parents=True, exist_ok=True)
    scratch = to / ".pixels.npy"
    try:
        pixels = _decode_all(raw, data=data, scratch=scratch)
        _check_bad(raw, pixels.bad, data.bad_images)
        table = split_table.split_table(raw, pixels.bad, data, several)
        near, repeated = drop_copies(table, pixels.images, pixels.sizes, drop_near=data.near_duplicates == "drop")
        split_table.cap_training(table, data.train_size, multi_label=raw.multi_label)
        split_table.check_splits(table, raw.classes, data, marked=any(i.difficult for i in raw.images))
        summary = split_table.summary(table, near, repeated, multi_label=raw.multi_label)
        _write(to, raw, pixels, table, near, summary, data=data, sheet_size=sheet_size)
    finally:
        scratch.unlink(missing_ok=True)
    return summary


def _decode_all(raw: RawSet, *, data: Data, scratch: Path) -> _Pixels:
    count = len(raw.images)
    shape = _storage(raw, data)
    images = np.lib.format.open_memmap(scratch, mode="w+", dtype=np.uint8, shape=(count, *shape))
    pixels = _Pixels(images, np.zeros((count, 2), np.int64), {})
    starts = range(0, count, BLOCK)

    def work(start: int) -> int:
        for i in range(start, min(start + BLOCK, count)):
            _decode_one(raw, i, data, pixels)
        return min(BLOCK, count - start)

    with ThreadPoolExecutor(os.cpu_count()) as pool, tqdm(total=count, desc="prepare", unit="img", disable=None) as bar:
        for done in pool.map(work, starts):
            bar.update(done)
    return pixels


def _decode_one(raw: RawSet, i: int, data: Data, pixels: _Pixels) -> None:
    try:
        source = raw.pixels(i, channels=data.channels, max_pixels=data.max_pixels)
    except BadImage as error:
        pixels.bad[i] = str(error)
        return
    image = resize(source, size_px=data.image_size, mode=data.resize)
    height, width = image.shape[:2]
    pixels.images[i, :height, :width] = image
    pixels.sizes[i] = height, width


def _storage(raw: RawSet, data: Data) -> tuple[int, int, int]:
    """(H, W, C) that holds every prepared image: for shortest_edge the largest of each side, found in a first pass."""
    if data.resize != "shortest_edge":
        return data.image_size, data.image_size, data.channels
    height = width = data.image_size
    for i in tqdm(range(len(raw.images)), desc="measure", unit="img", disable=None):
        try:
            h, w = raw.pixels(i, channels=data.channels, max_pixels=data.max_pixels).shape[:2]
        except BadImage:
            continue  # reported when it is decoded for good
        h, w = edges(h, w, data.image_size)
        height, width = max(height, h), max(width, w)
    return height, width, data.channels


def _check_bad(raw: RawSet, bad: dict[int, str], policy: str) -> None:
    if not bad:
        return
    lines = [f"{raw.images[i].file}: {bad[i]}" for i in sorted(bad)]
    if policy == "fail":
        shown = "; ".join(lines[:10]) + (f"; and {len(lines) - 10} more" if len(lines) > 10 else "")
        raise TouchstoneError(
            f"{len(lines)} of {len(raw.images)} images cannot be read: {shown}. "
            "Mend or remove them, or set data.bad_images: skip"
        )
    print(f"left out {len(lines)} images that cannot be read:", *lines, sep="\n  ")


def _write(
    to: Path,
    raw: RawSet,
    pixels: _Pixels,
    table: pd.DataFrame,
    near: pd.DataFrame,
    summary: dict[str, object],
    *,
    data: Data,
    sheet_size: int,
) -> None:
    padded = data.resize == "shortest_edge"
    names = []
    for split in split_table.SPLITS:
        rows = rows_of(table, split)
        whole = ImageSet(pixels.images, split_table.image_table(table, pixels.sizes if padded else None))
        save_with_sheet(to / split, whole, rows=rows, sheet_size=sheet_size)
        files = table.loc[rows, ["file", "label"]]
        names.append(
            pd.DataFrame({"split": split, "row": range(len(rows)), "file": files["file"], "label": files["label"]})
        )
    meta = {
        "classes": raw.classes,
        "channels": data.channels,
        "image_size": data.image_size,
        "resize": data.resize,
        "max_pixels": data.max_pixels,
    } | ({"multi_label": True} if raw.multi_label else {})
    _write_text(to / "meta.json", json.dumps(meta, indent=2, ensure_ascii=False) + "\n")
    _write_text(to / "files.csv", _csv(pd.concat(names)))
    with replaced(to / "findings") as folder:
        _write_text(folder / "counts.csv", _csv(split_table.counts(table, raw.classes)))
        left_out = table[(table["left_out"] != "") & (table["left_out"] != "over data.train_size")]
        _write_text(folder / "left_out.csv", _csv(left_out[["file", "label", "split", "left_out"]].sort_values("file")))
        _write_text(folder / "near_copies.csv", _csv(near))
        _write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n")


def _write_text(path: Path, text: str) -> None:
    """Replace a file at once."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
