"""Arms: which images a training set is made of. A manifest, not a copy: training puts the sets together."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.config.sections import Arm
from touchstone.data.imageset import ImageSet, content_hash, load, valid_sizes
from touchstone.errors import TouchstoneError


def manifest(arm: Arm, *, pools: Path) -> dict[str, object]:
    """What an arm is made of: its settings and the content hash of each addition set below `pools`."""
    hashes = {name: content_hash(pools / name) for name in dict.fromkeys(arm.add)}
    return {**arm.model_dump(mode="json"), "sha256": hashes}


@dataclass(frozen=True)
class TrainingSet:
    """Images of several sets, in one order, without a copy.

    parts: the ImageSets' pixels, each uint8 (N_k, H, W, C), or what a backbone sees in them, float32 (N_k, D) or, of
    five crops, (N_k, 5, D).
    part_sizes: the valid (height, width) of each part's images, int64 (N_k, 2), or None where all of it is valid.
    part, row: int64 (N,), where image i lies.
    table: N rows, the real images first. num_real: how many those are. pretrain_share: of the steps of training that
    see the additions alone, before those that see the real images alone; 0: every step draws from all.
    """

    parts: list[np.ndarray]
    part_sizes: list[np.ndarray | None]
    part: np.ndarray
    row: np.ndarray
    table: pd.DataFrame
    num_real: int
    pretrain_share: float = 0.0

    def __len__(self) -> int:
        return len(self.part)

    def gather(self, index: np.ndarray) -> np.ndarray:
        """uint8 (B, H, W, C), the images of `index` (B,); sets of smaller storage lie at the top left.

        float32 (B, D) or (B, 5, D) where the parts are features.
        """
        if len(self.parts) == 1:
            return np.asarray(self.parts[0][self.row[index]])
        if self.parts[0].dtype != np.uint8:
            return np.stack([self.parts[k][i] for k, i in zip(self.part[index], self.row[index], strict=True)])
        height, width = (max(part.shape[side] for part in self.parts) for side in (1, 2))
        out = np.zeros((len(index), height, width, self.parts[0].shape[3]), np.uint8)
        for k in np.unique(self.part[index]):
            here, part = self.part[index] == k, self.parts[k]
            out[here, : part.shape[1], : part.shape[2]] = part[self.row[index[here]]]
        return out


def assemble(path: Path, *, train: ImageSet, pools: Path, multi_label: bool = False) -> TrainingSet:
    """The training set that the manifest at `path` describes. multi_label: whether images may have several labels.

    Raises TouchstoneError where an addition set below `pools` is not the one that the manifest was made from, or
    where an arm asks for more additions than there are.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        hashes = stored.pop("sha256")
        arm = Arm.model_validate({**stored, "add": tuple(stored["add"])})
    except (OSError, ValueError, KeyError) as error:
        raise TouchstoneError(f"{path}: no readable manifest ({error}); run `dvc repro augment`") from error
    for name, sha256 in hashes.items():
        if content_hash(pools / name) != sha256:
            raise TouchstoneError(f"{pools / name}: not the addition set that {path} names; run `dvc repro augment`")
    additions = [load(pools / name) for name in arm.add]
    return combine(arm, train=train, additions=additions, name=path.stem, multi_label=multi_label)


def combine(
    arm: Arm, *, train: ImageSet, additions: list[ImageSet], name: str, multi_label: bool = False
) -> TrainingSet:
    """The real images (if the arm has them), then the chosen additions, set by set.

    Raises TouchstoneError where the arm asks for more additions than there are, or, of images of several labels, for
    some of each class.
    """
    if multi_label and arm.per_class:
        raise TouchstoneError(f"arms.{name}.per_class: images have several labels; limit additions by ratio instead")
    chosen = _choose(arm, train=train, additions=additions, name=name, multi_label=multi_label)
    sets = [(train, np.arange(len(train)))] if arm.real else []
    sets += [(addition, rows) for addition, rows in zip(additions, chosen, strict=True) if len(rows)]
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
    """The table, with height and width where other sets of the arm are padded: generated images fill theirs."""
    if not padded or "height" in images.table:
        return images.table
    height, width = images.images.shape[1:3]
    return images.table.assign(height=height, width=width)


def _choose(arm: Arm, *, train: ImageSet, additions: list[ImageSet], name: str, multi_label: bool) -> list[np.ndarray]:
    """Rows of each addition set: of each class the first of every set, then the second, up to the arm's limits.

    Images of several labels are of one group, whose limit is the ratio.
    """

    def group(images: ImageSet) -> pd.Series:
        return images.table["label"] * 0 if multi_label else images.table["label"]

    order = pd.concat(
        [
            pd.DataFrame(
                {"label": group(a), "set": k, "row": range(len(a)), "rank": group(a).groupby(group(a)).cumcount()}
            )
            for k, a in enumerate(additions)
        ]
        or [pd.DataFrame({"label": [], "set": [], "row": [], "rank": []})],
        ignore_index=True,
    ).sort_values(["rank", "set"], kind="stable")
    position = order.groupby("label").cumcount()
    limit = pd.Series(np.inf, order.index)
    if arm.ratio:
        wanted = (group(train).value_counts() * arm.ratio).round()
        _check_enough(wanted, order["label"].value_counts(), arm, name)
        limit = order["label"].map(wanted).fillna(0)
    if arm.per_class:
        limit = limit.clip(upper=arm.per_class)
    kept = order[position < limit]
    return [np.sort(kept.loc[kept["set"] == k, "row"].to_numpy(np.int64)) for k in range(len(additions))]


def _check_enough(wanted: pd.Series, there: pd.Series, arm: Arm, name: str) -> None:
    for label, count in wanted.items():
        if count > there.get(label, 0):
            of_class = f" of class {label}" if label else ""
            raise TouchstoneError(
                f"arms.{name}.ratio: {arm.ratio} asks for {count:.0f} additions{of_class}, "
                f"there are {there.get(label, 0)} in {', '.join(arm.add) or 'add'}; lower it or add a set"
            )
