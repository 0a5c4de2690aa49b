"""Refuses folders that look like classes and seem to be something else: splits, sites, or masks."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from touchstone.data.sources._files import refusal
from touchstone.data.sources._roles import is_plain, is_unlabelled, means_images, plain_role, rest, role
from touchstone.data.sources._tree import Tree
from touchstone.data.splits import LABELLED, SPLITS

MASKS = frozenset({"mask", "masks", "segmentation", "segmentations", "groundtruth", "ground_truth", "gt"})
# Beside a folder of images these hold masks, too; alone they may be anything.
MASKS_BESIDE = MASKS | {"label", "labels", "annotation", "annotations"}


def check_no_splits(tops: dict[str, Tree], path: Path) -> None:
    """Raise TouchstoneError where the names of all folders hold a split's word: trainA, trainB, testA and testB.

    Names that share nothing else, as `bullet train` and `test tube`, are classes.
    """
    names = sorted(top for top in tops if not is_unlabelled(top))
    roles = {role(top) for top in names}
    splits = [split for split in SPLITS if split in roles]
    if len(splits) > 1 and "" not in roles and _share_rest(names):
        places = [f"{split}/<class>/" for split in LABELLED if split in {"train", *splits}]
        raise refusal(
            path,
            f"the folders {_listed(names)} are named after splits ({', '.join(splits)}), which would be taken as "
            f"classes: move their images to {_joined(places)}, or rename the folders if they are classes",
        )


def _share_rest(names: Iterable[str]) -> bool:
    """Return whether names of two splits are equal but for the split's word, or one consists of that word alone."""
    splits: dict[tuple[str, ...], set[str]] = {}
    for name in names:
        splits.setdefault(rest(name), set()).add(role(name))
    return () in splits or any(len(found) > 1 for found in splits.values())


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
    if all(10 * tree.images >= tree.total for tree in folders.values()):
        return []  # each holds more than a stray image itself
    inside = {name: {inner for inner, deeper in tree.folders.items() if deeper.total} for name, tree in folders.items()}
    holders = Counter(inner for names in inside.values() for inner in names)
    in_all = [inner for inner, count in holders.items() if count == len(folders) > 1]
    if len(in_all) > 1:
        meaning, remedy = _meaning(in_all, min(inside))
        raise refusal(
            path,
            f"the folders {_listed(inside)}{f' in {where}' if where else ''} have the same folders in them "
            f"({_listed(in_all)}), so those may be {meaning}: {remedy}; if the outer ones are the classes and the "
            "inner ones mean nothing, move the images directly into the outer ones",
        )
    shared = [inner for inner, count in holders.items() if count > 1 and not is_plain(inner)]
    if not shared or len(holders) == 1:
        return []  # cat/indoor and dog/indoor are cat and dog
    sharing = [name for name, names in inside.items() if not names.isdisjoint(shared)]
    meaning, remedy = _meaning(shared, min(sharing))
    return [
        f"{where}{f', {where}'.join(sorted(sharing)[:4])} are taken as classes although they have the same folders in "
        f"them ({_listed(shared)}); if those are {meaning}, {remedy}"
    ]


def _meaning(shared: Iterable[str], label: str) -> tuple[str, str]:
    """Return what the folders that several classes have in them may be, and what to do then.

    label: one of the outer folders.
    """
    roles = {plain_role(inner) for inner in shared}
    if "" in roles:
        return "the classes", "rename the outer ones to train, val and test, or put their images together"
    places = [f"{split}/{label}" for split in SPLITS if split in roles]
    return "splits", f"turn the folders around, to {_joined(places)}"


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


def _joined(places: list[str]) -> str:
    """Return places joined by commas and `and`."""
    return " and ".join([", ".join(places[:-1]), places[-1]] if len(places) > 1 else places)


def _listed(names: Iterable[str]) -> str:
    """Return the first four names, sorted."""
    return ", ".join(sorted(names)[:4])
