"""Images that were made elsewhere as an added set: prepared like the real ones, and filtered like samples.

Rows are sorted by the files' sha256, so a limit takes images whatever their names.
"""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.schema.generator import FolderSample, part_of
from touchstone.config.schema.machine import Machine
from touchstone.data.groups import group_of
from touchstone.data.imageset import ImageSet
from touchstone.data.labels import encode, is_multi_label
from touchstone.data.raw_images import Preparation, check_readable, decode_all
from touchstone.data.replicates import COLUMN
from touchstone.data.sources import RawSet
from touchstone.data.sources.folder import read as read_packed
from touchstone.errors import TouchstoneError, nearest
from touchstone.generators.sample import Synthesized, load_judge
from touchstone.models.device import device
from touchstone.models.predict import probabilities


def read(
    name: str,
    classifiers: list[str | None],
    *,
    values: dict[str, Any],
    packed: Path,
    meta: dict[str, Any],
    encoder: Path,
    machine: Machine,
    scratch: Path,
) -> Synthesized:
    """Decode the packed images of the entry `name` and keep those that its settings ask for.

    classifiers: for each replicate, the hash of the classifier that filters its images, or None. Replicates share the
    images, unless their classifiers keep different ones. values: the entry's settings, as in data/settings. meta: the
    content of meta.json. encoder: the run of the classifiers. scratch: a folder for the decoded pixels.

    Raises TouchstoneError on a class that the study lacks, on several labels or none where images have one each, on
    unreadable images with `bad_images: fail`, where no image is left, and like `load_judge`.
    """
    settings: FolderSample = part_of(values["kind"], "sample", values["sample"])
    raw: RawSet = read_packed(packed)
    _check_labels(raw, name, meta)
    if settings.per_class and is_multi_label(meta):
        raise TouchstoneError(
            f"generators.{name}.sample.per_class: images have several labels; limit the added ones by an arm's ratio"
        )
    how = Preparation(**{field.name: meta[field.name] for field in fields(Preparation)})
    pixels, sizes, bad, _ = decode_all(raw, how, scratch / "pixels.npy")
    try:
        check_readable(raw, bad, settings.bad_images)
    except TouchstoneError as error:
        raise TouchstoneError(f"generators.{name}.path: {error}") from error
    table = pd.DataFrame(
        {
            "id": [image.id for image in raw.images],
            "label": [image.label for image in raw.images],
            "source_id": "",
            "origin": name,
        }
    )
    if how.resize == "shortest_edge":
        table[["height", "width"]] = sizes
    order = [row for row in table.sort_values("id", kind="stable").index if row not in bad]
    images = ImageSet(pixels, table)
    kept = _kept_by_replicate(images, order, classifiers, settings, meta=meta, encoder=encoder, machine=machine)
    rows = [row for row in order if any(row in each for each in kept)]
    if not rows:
        raise TouchstoneError(
            f"generators.{name}: none of the {len(raw.images)} images is kept; lower sample.filter.min_confidence"
        )
    if any(each != kept[0] for each in kept):
        listed = [" ".join(str(number) for number, each in enumerate(kept) if row in each) for row in range(len(table))]
        table[COLUMN] = listed
    files = pd.DataFrame({"row": range(len(rows)), "file": [raw.images[row].file for row in rows]})
    if settings.group:
        files["group"] = [group_of(raw.images[row], settings.group) for row in rows]
    return Synthesized(images, _counts(table, kept, meta), rows=np.array(rows), files=files)


def _check_labels(raw: RawSet, name: str, meta: dict[str, Any]) -> None:
    classes: list[str] = meta["classes"]
    for image in raw.images:
        for label in image.labels:
            if label not in classes:
                raise TouchstoneError(
                    f"generators.{name}.path: {image.file}: got the class {label}, expected one of "
                    f"{', '.join(classes)}{nearest(label, classes)}; rename or remove it"
                )
        if len(image.labels) != 1 and not is_multi_label(meta):
            raise TouchstoneError(
                f"generators.{name}.path: {image.file}: got the label {image.label!r}, expected one class, as the "
                "study's images have one each; correct or remove it"
            )


def _kept_by_replicate(
    images: ImageSet,
    order: list[int],
    classifiers: Sequence[str | None],
    settings: FolderSample,
    *,
    meta: dict[str, Any],
    encoder: Path,
    machine: Machine,
) -> list[set[int]]:
    """Return the rows that each replicate keeps: those that its classifier accepts, up to the limit of a class."""
    of_classifier: dict[str | None, set[int]] = {}
    for sha256 in dict.fromkeys(classifiers):
        accepted = np.ones(len(images), bool)
        if sha256:
            judge = load_judge(encoder, sha256, device=device(machine.accelerator, count=machine.devices))
            some: dict[str, Any] = {"num_classes": len(meta["classes"]), "multi_label": is_multi_label(meta)}
            confidence = _least(probabilities(judge, images, view=judge.view, **some), images.table, meta)
            accepted = confidence >= settings.filter.min_confidence
        rows = [row for row in order if accepted[row]]
        rank = images.table.iloc[rows].groupby("label").cumcount()
        of_classifier[sha256] = {row for row in rows if not settings.per_class or rank[row] < settings.per_class}
    return [of_classifier[sha256] for sha256 in classifiers]


def _least(found: np.ndarray, table: pd.DataFrame, meta: dict[str, Any]) -> np.ndarray:
    """Return the least probability of each image's classes, float (N,); 1 for an image without any."""
    labels = encode(table, meta)
    if labels.ndim == 1:
        return found[np.arange(len(labels)), labels]
    return np.where(labels == 1, found, 1.0).min(1)


def _counts(table: pd.DataFrame, kept: list[set[int]], meta: dict[str, Any]) -> pd.DataFrame:
    """Return class, sampled, kept: the images of each class in the folder and in the added set, over the replicates."""
    every = encode(table, meta | {"multi_label": True}) == 1  # (N, K)
    parts = kept if any(each != kept[0] for each in kept) else kept[:1]
    numbers = np.sum([every[sorted(part)].sum(0) for part in parts], 0)
    return pd.DataFrame({"class": meta["classes"], "sampled": every.sum(0) * len(parts), "kept": numbers})
