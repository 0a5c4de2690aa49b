"""Groups, such as patients, that an added set of images made elsewhere shares with test or validation images.

Images of one group resemble one another, so a classifier that trains on a test image's group has seen part of the
answer: that is a leak, although no image is copied.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from touchstone.data.imageset import read_table

NAMED = 5  # groups that a sentence names
NAMES = {"test": "test", "val": "validation"}


@dataclass(frozen=True)
class SharedGroups:
    """The groups of an added set that are also in held-out splits."""

    num_images: int
    num_unknown: int
    """Images of the set without a group."""
    images: Mapping[str, Counter[str]]
    """test and val -> group -> the images of the set that belong to it."""

    @property
    def is_leak(self) -> bool:
        """Whether a group of the set is in a held-out split."""
        return any(self.images.values())

    @property
    def figures(self) -> dict[str, Any]:
        """The entries of audit.json."""
        shared = {f"shared_group_{split}": each.total() for split, each in self.images.items()}
        return {**shared, "unknown_group": self.num_unknown}

    @property
    def reasons(self) -> list[str]:
        """A sentence for each held-out split that shares groups; without one, what is known."""
        shared = [_shared(split, each, self.num_images) for split, each in self.images.items() if each]
        if not shared and self.num_unknown < self.num_images:
            shared = ["No image belongs to a group of test or validation images."]
        unknown = f"{self.num_unknown} of {self.num_images} images have no group, so they may belong to a held-out one."
        return [*shared, *([unknown] if self.num_unknown else [])]


def shared_groups(files: pd.DataFrame, held_out: Mapping[str, pd.DataFrame]) -> SharedGroups:
    """Compare the groups of a set with those of held-out images.

    files: the table files.csv of the set, with the column group. held_out: test and val -> the table of its images.
    """
    known = files.loc[files["group"] != "", "group"]
    of = {split: set(table["group"]) - {""} if "group" in table else set() for split, table in held_out.items()}
    images = {split: Counter(group for group in known if group in groups) for split, groups in of.items()}
    return SharedGroups(len(files), len(files) - len(known), images)


def read_groups(folder: Path, prepared: Path) -> SharedGroups | None:
    """Compare the groups of the added set in a folder with those of the prepared images; None where it has none."""
    if not (folder / "files.csv").is_file():
        return None
    files = pd.read_csv(folder / "files.csv", dtype=str, keep_default_na=False)
    if "group" not in files:  # those of a set that was made with data.group
        return None
    return shared_groups(files, {split: read_table(prepared / split) for split in NAMES})


def _shared(split: str, groups: Counter[str], count: int) -> str:
    ordered = sorted(groups.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{group} ({number})" for group, number in ordered[:NAMED])
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    noun = "a group" if len(ordered) == 1 else "groups"
    belong = "images belongs" if groups.total() == 1 else "images belong"
    return f"{groups.total()} of {count} {belong} to {noun} of {NAMES[split]} images: {listed}{more}."
