"""Training sets: the images of an arm, assembled from a manifest without copying pixels."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.config.schema.data import Arm
from touchstone.data.imageset import BLOCK, ImageSet, content_hash, load, valid_sizes
from touchstone.data.levels import is_pixels
from touchstone.data.replicates import COLUMN, of_replicate
from touchstone.errors import TouchstoneError


def manifest(arm: Arm, *, augmented: Path) -> dict[str, object]:
    """Return an arm's settings and the content hash of each of its added sets below `augmented`."""
    hashes = {name: content_hash(augmented / name) for name in dict.fromkeys(arm.add)}
    return {**arm.model_dump(mode="json"), "sha256": hashes}


@dataclass(frozen=True)
class TrainingSet:
    """N images of several sets, in one order."""

    parts: list[np.ndarray]
    """The pixels of each set, (N_k, H, W, C), or its features, float32 (N_k, D), (N_k, 5, D) for five crops."""
    part_sizes: list[np.ndarray | None]
    """The valid (height, width) of each set's images, int64 (N_k, 2), or None without padding."""
    part: np.ndarray
    """The part that image i lies in, int64 (N,)."""
    row: np.ndarray
    """Its row there, int64 (N,)."""
    table: pd.DataFrame
    """N rows, the real images first."""
    num_real: int
    pretrain_share: float = 0.0
    """Share of the steps that see only added images, before the others see only real ones; 0 mixes them in all."""

    def __len__(self) -> int:
        return len(self.part)

    def content_hash(self) -> str:
        """Return the sha256 of the pixels, the table and the order."""
        digest = hashlib.sha256(f"{self.num_real} {self.pretrain_share}".encode())
        digest.update(self.table.to_csv(index=False).encode())
        for number, pixels in enumerate(self.parts):
            rows = self.row[self.part == number]
            for start in range(0, len(rows), BLOCK):
                digest.update(np.ascontiguousarray(pixels[rows[start : start + BLOCK]]).data)
        return digest.hexdigest()

    def gather(self, index: np.ndarray) -> np.ndarray:
        """Return the images `index` (B,): (B, H, W, C), smaller ones at the top left, or features (B, [5,] D)."""
        if len(self.parts) == 1:
            return np.asarray(self.parts[0][self.row[index]])
        if not is_pixels(self.parts[0].dtype):
            return np.stack([self.parts[k][i] for k, i in zip(self.part[index], self.row[index], strict=True)])
        of_parts = [(self.part[index] == k, k) for k in np.unique(self.part[index])]
        found = [(here, self.parts[k][self.row[index[here]]]) for here, k in of_parts]
        height, width = (max((pixels.shape[side] for _, pixels in found), default=0) for side in (1, 2))
        out = np.zeros((len(index), height, width, self.parts[0].shape[3]), self.parts[0].dtype)
        for here, pixels in found:
            out[here, : pixels.shape[1], : pixels.shape[2]] = pixels
        return out


def assemble(
    path: Path, *, train: ImageSet, augmented: Path, replicates: Sequence[int] = (0,), multi_label: bool = False
) -> dict[int, TrainingSet]:
    """Return the training set that the manifest at `path` describes for each replicate, the same one if they share it.

    Raises TouchstoneError where an added set below `augmented` is not the one that the manifest was made from, and on
    what `combine` refuses.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        hashes = stored.pop("sha256")
        arm = Arm.model_validate({**stored, "add": tuple(stored["add"])})
    except (OSError, ValueError, KeyError) as error:
        raise TouchstoneError(f"{path}: no readable manifest ({error}); run `dvc repro augment`") from error
    for name, sha256 in hashes.items():
        if content_hash(augmented / name) != sha256:
            raise TouchstoneError(f"{augmented / name}: not the added set that {path} names; run `dvc repro augment`")
    added_sets = [load(augmented / name) for name in arm.add]
    if not any(COLUMN in images.table for images in (train, *added_sets)):
        whole = combine(arm, train=train, added_sets=added_sets, name=path.stem, multi_label=multi_label)
        return dict.fromkeys(replicates, whole)
    return {
        number: combine(
            arm,
            train=of_replicate(train, number),
            added_sets=[of_replicate(images, number) for images in added_sets],
            name=path.stem,
            multi_label=multi_label,
        )
        for number in replicates
    }


def combine(
    arm: Arm, *, train: ImageSet, added_sets: Sequence[ImageSet] = (), name: str, multi_label: bool = False
) -> TrainingSet:
    """Put together the real images, if the arm has them, and the chosen images of each added set.

    Raises TouchstoneError where the arm `name` asks for more added images than there are, or for a number of each class
    although images have several labels.
    """
    if multi_label and arm.per_class:
        raise TouchstoneError(
            f"arms.{name}.per_class: images have several labels; limit the added ones by ratio instead"
        )
    chosen = _choose(arm, train=train, added_sets=added_sets, name=name, multi_label=multi_label)
    sets = [(train, np.arange(len(train)))] if arm.real else []
    sets += [(added, rows) for added, rows in zip(added_sets, chosen, strict=True) if len(rows)]
    padded = any("height" in images.table for images, _ in sets)
    return TrainingSet(
        parts=[images.images for images, _ in sets],
        part_sizes=[valid_sizes(images.table) for images, _ in sets],
        part=np.concatenate([np.full(len(rows), k) for k, (_, rows) in enumerate(sets)]),
        row=np.concatenate([rows for _, rows in sets]),
        table=pd.concat([_sized(images, padded).iloc[rows] for images, rows in sets], ignore_index=True),
        num_real=len(train) if arm.real else 0,
        pretrain_share=arm.pretrain_share if arm.schedule == "pretrain" else 0.0,
    )


def _sized(images: ImageSet, padded: bool) -> pd.DataFrame:
    """Return the table, with height and width if any set of the arm is padded."""
    if not padded or "height" in images.table:
        return images.table
    height, width = images.images.shape[1:3]
    return images.table.assign(height=height, width=width)


def _choose(
    arm: Arm, *, train: ImageSet, added_sets: Sequence[ImageSet], name: str, multi_label: bool
) -> list[np.ndarray]:
    """Return the rows of each added set, up to the arm's limits.

    For each class the first image of each set is taken, then the second of each, and so on. With several labels, all
    images count as one class.
    """

    def classes(images: ImageSet) -> list[str]:
        return [""] * len(images) if multi_label else images.table["label"].tolist()

    order = pd.DataFrame(
        {
            "class": [label for images in added_sets for label in classes(images)],
            "set": [k for k, images in enumerate(added_sets) for _ in range(len(images))],
            "row": [row for images in added_sets for row in range(len(images))],
        }
    )
    order["rank"] = order.groupby(["set", "class"]).cumcount()
    order = order.sort_values(["rank", "set"], kind="stable")
    limit = pd.Series(np.inf, order.index)
    if arm.ratio:
        wanted = (pd.Series(classes(train)).value_counts() * arm.ratio).round()
        available = order["class"].value_counts()
        for label, count in wanted.items():
            if count > available.get(label, 0):
                of_class = f" of class {label}" if label else ""
                raise TouchstoneError(
                    f"arms.{name}.ratio: {arm.ratio} asks for {count:.0f} added images{of_class}, but there are "
                    f"{available.get(label, 0)} in {', '.join(arm.add) or 'arms.add'}; lower the ratio or add a set"
                )
        limit = order["class"].map(wanted).fillna(0)
    if arm.per_class:
        limit = limit.clip(upper=arm.per_class)
    kept = order[order.groupby("class").cumcount() < limit]
    return [np.sort(kept.loc[kept["set"] == k, "row"].to_numpy(np.int64)) for k in range(len(added_sets))]
