"""Refuses folders that look like classes and seem to be something else: splits, sites, or masks."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from touchstone.data.sources._files import refusal
from touchstone.data.sources._roles import is_plain, is_unlabelled, means_images, role
from touchstone.data.sources._tree import Tree
from touchstone.data.splits import SPLITS

MASKS = frozenset({"mask", "masks", "segmentation", "segmentations", "groundtruth", "ground_truth", "gt"})
# Beside a folder of images these hold masks, too; alone they may be anything.
MASKS_BESIDE = MASKS | {"label", "labels", "annotation", "annotations"}


def check_no_splits(tops: dict[str, Tree], path: Path) -> None:
    """Raise TouchstoneError where the names of all folders hold a split's word: trainA, trainB, testA and testB."""
    names = sorted(top for top in tops if not is_unlabelled(top))
    roles = {role(top) for top in names}
    splits = [split for split in SPLITS if split in roles]
    if len(splits) > 1 and "" not in roles:
        raise refusal(
            path,
            f"the folders {_listed(names)} are named after splits ({', '.join(splits)}), which would be taken as "
            f"classes: move their images to {splits[0]}/<class>/ and {splits[1]}/<class>/, or rename the folders if "
            "they are classes",
        )


def check_classes(classes: dict[str, Tree], path: Path, where: str) -> list[str]:
    """Check the folders that would be classes, and return a note where some of them have the same folders in them.

    where: the folder around them, with a slash at its end. Raises TouchstoneError where all of them have the same
    folders, which may be the classes, and where one holds masks.
    """
    _check_mask_folders(classes, path, where)
    _check_masks_within(classes, path, where)
    return _check_same_folders(classes, path, where)


def _check_same_folders(classes: dict[str, Tree], path: Path, where: str) -> list[str]:
    folders = {name: tree for name, tree in classes.items() if tree.total and not is_unlabelled(name)}
    if 2 * sum(tree.images for tree in folders.values()) >= sum(tree.total for tree in folders.values()):
        return []  # most images lie in the folders themselves, so those are the classes
    inside = {name: {inner for inner, deeper in tree.folders.items() if deeper.total} for name, tree in folders.items()}
    holders = Counter(inner for names in inside.values() for inner in names)
    in_all = [inner for inner, count in holders.items() if count == len(folders) > 1]
    if len(in_all) > 1:
        raise refusal(
            path,
            f"the folders {_listed(inside)}{f' in {where}' if where else ''} have the same folders in them "
            f"({_listed(in_all)}), so those may be the classes: rename the outer ones to train, val and test, or put "
            "their images together; if the outer ones are the classes, move the images directly into them",
        )
    shared = [inner for inner, count in holders.items() if count > 1 and not is_plain(inner)]
    if not shared or len(holders) == 1:
        return []  # cat/indoor and dog/indoor are cat and dog
    sharing = [name for name, names in inside.items() if not names.isdisjoint(shared)]
    return [
        f"{where}{f', {where}'.join(sorted(sharing)[:4])} are taken as classes although they have the same folders in "
        f"them ({_listed(shared)}); if those are the classes, rename the outer ones to train, val and test, or put "
        "their images together"
    ]


def _check_mask_folders(classes: dict[str, Tree], path: Path, where: str) -> None:
    """Raise TouchstoneError on a folder of masks beside one of images, where there are no others."""
    masks = sorted(name for name, tree in classes.items() if name.lower() in MASKS_BESIDE and tree.total)
    others = sorted(name for name in classes if name not in masks and not is_unlabelled(name))
    if masks and others and all(map(means_images, others)):
        raise refusal(
            path,
            f"{where}{masks[0]} beside {where}{others[0]} seems to hold masks, which would be taken as a class; move "
            "it away, or rename both if they are classes",
        )


def _check_masks_within(classes: dict[str, Tree], path: Path, where: str) -> None:
    """Raise TouchstoneError where folders of classes hold masks, which would be learned as images of the class."""
    for name, tree in sorted(classes.items()):
        for inner in sorted(tree.folders):
            if inner.lower() in MASKS and tree.images and tree.folders[inner].total:
                raise refusal(
                    path,
                    f"{where}{name}/{inner} seems to hold masks, which would be taken as images of {name}; move them "
                    "away, or rename the folder if they are images",
                )


def _listed(names: Iterable[str]) -> str:
    """Return the first four names, sorted."""
    return ", ".join(sorted(names)[:4])
