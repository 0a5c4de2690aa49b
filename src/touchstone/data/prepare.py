"""Prepares the raw images of any source, so that no later stage depends on the source.

In one folder it writes
    train, val, test, unlabelled   ImageSets, rows sorted by id
    meta.json                      classes and how images were prepared
    files.csv                      split,row,file,label: the original file names
    findings/                      warnings.csv, counts.csv, left_out.csv, repeats.csv, near_copies.csv, summary.json
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from touchstone.config.schema.data import Data, MultiLabel
from touchstone.data import findings, split_table
from touchstone.data.copies import drop_copies, rows_of
from touchstone.data.findings import Finding
from touchstone.data.folders import replaced
from touchstone.data.imageset import ImageSet
from touchstone.data.preparation import Preparation
from touchstone.data.raw_images import check_readable, decode_all
from touchstone.data.remarks import about_images
from touchstone.data.replicates import COLUMN
from touchstone.data.sheets import save_with_sheet
from touchstone.data.sources import RawSet
from touchstone.data.splits import SPLITS

DEFAULT = MultiLabel()


def prepare(
    raw: RawSet,
    *,
    data: Data,
    multi_label: MultiLabel = DEFAULT,
    draws: int = 1,
    to: Path,
    sheet_size: int,
    told: Sequence[Finding] = (),
) -> dict[str, object]:
    """Decode, resize, split, search for copies and write to the folder `to`. Return the content of summary.json.

    draws: the number of sets of training images. sheet_size: images of a contact sheet. told: what the source found
    out, which is kept beside what is found here. Raises TouchstoneError on
    images that cannot be decoded (with `data.bad_images: fail`), on a class without training images, and on an empty
    split that is needed.
    """
    to.mkdir(parents=True, exist_ok=True)
    scratch = to / ".pixels.npy"
    how = Preparation(data.channels, data.image_size, data.resize, data.max_pixels, data.bits, data.white)
    try:
        images, sizes, bad, odd = decode_all(raw, how, scratch, storage=data.storage)
        check_readable(raw, bad, data.bad_images)
        table = split_table.split_table(raw, bad, data, multi_label)
        near, repeats = drop_copies(table, images, sizes, drop_near=data.near_duplicates == "drop")
        split_table.draw_training(table, data.train_size, draws=draws, multi_label=raw.multi_label)
        split_table.check_splits(table, raw.classes, data, marked=any(i.difficult for i in raw.images))
        within = int((repeats["split"] == repeats["other_split"]).sum())
        summary = split_table.summary(table, near, within, multi_label=raw.multi_label)
        named = {kind: [raw.images[i].file for i in sorted(rows)] for kind, rows in odd.items()}
        found = about_images(table, repeats, near, **named, kept=data.near_duplicates, bits=data.bits)
        found += [Finding("few", line) for line in split_table.few(table, raw.classes)]
        print(*(finding.text for finding in found), sep="\n")
        padded_sizes = sizes if data.resize == "shortest_edge" else None
        whole = ImageSet(images, split_table.image_table(table, padded_sizes))
        _write_splits(to, whole, table, sheet_size=sheet_size)
        meta: dict[str, object] = {"classes": raw.classes}
        meta |= how.meta()
        meta |= {"multi_label": True} if raw.multi_label else {}
        _write_text(to / "meta.json", json.dumps(meta, indent=2, ensure_ascii=False) + "\n")
        frames = {"counts": split_table.counts(table, raw.classes), "repeats": repeats, "near_copies": near}
        _write_findings(to / "findings", frames, table, summary, [*told, *found])
    finally:
        scratch.unlink(missing_ok=True)
    return summary


def _write_splits(to: Path, images: ImageSet, table: pd.DataFrame, *, sheet_size: int) -> None:
    files = []
    for split in SPLITS:
        rows = rows_of(table, split)
        of_split = images.table if split == "train" else images.table.drop(columns=COLUMN, errors="ignore")
        shown = ImageSet(images.images, of_split)
        save_with_sheet(to / split, shown, rows=rows, names=table["file"][rows].tolist(), sheet_size=sheet_size)
        files.append(table.loc[rows, ["split", "file", "label"]].assign(row=range(len(rows))))
    columns = ["split", "row", "file", "label"]
    _write_text(to / "files.csv", pd.concat(files)[columns].to_csv(index=False, lineterminator="\n"))


def _write_findings(
    to: Path,
    frames: dict[str, pd.DataFrame],
    table: pd.DataFrame,
    summary: dict[str, object],
    warnings: Sequence[Finding],
) -> None:
    left_out = table[~table["left_out"].isin(["", split_table.OVER_TRAIN_SIZE])].sort_values("file")
    frames["left_out"] = left_out[["file", "label", "split", "left_out"]]
    with replaced(to) as folder:
        for name, frame in frames.items():
            frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        findings.write(folder / "warnings.csv", warnings)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _write_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that readers see either the old text or the new one."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
