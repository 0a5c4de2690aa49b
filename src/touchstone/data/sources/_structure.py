"""Reads what the folders of a user's images mean: wrappers, splits, classes, and images without a class.

Splits are told by their names (_roles.py) and by what they hold: several folders with the same sub-folders are splits,
never classes. Each reading that is no matter of course is said in a note.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from touchstone.data.sources._doubts import check_classes, check_no_splits
from touchstone.data.sources._files import refusal
from touchstone.data.sources._roles import is_plain, is_unlabelled, plain_role, role
from touchstone.data.sources._tree import Tree
from touchstone.data.splits import LABELLED, SPLITS, UNLABELLED
from touchstone.errors import TouchstoneError


@dataclass(frozen=True)
class Layout:
    """Rules for reading the names of images."""

    splits: dict[str, str]
    """Top folder -> its split; none where the tops are classes."""
    inner: dict[str, str]
    """Top folder with a split -> the folder that holds its class folders, with a slash at its end."""
    notes: list[str]

    def of(self, name: str) -> tuple[str, str]:
        """Return the (label, split) of an image or a class folder; the label is "" where there is none."""
        top, _, rest = name.partition("/")
        if (split := self.splits.get(top, "")) == UNLABELLED:
            return "", UNLABELLED
        if not split:
            return top, ""
        return (name if rest else "").removeprefix(self.inner[top]).split("/")[0], split

    @property
    def labelled(self) -> list[str]:
        """The top folders whose split has labels."""
        return [top for top, split in self.splits.items() if split != UNLABELLED]


def wrapper(tree: Tree, tables: Iterable[str]) -> str:
    """Return the folders that hold everything, each alone in the one before, as `a/b/`; "" where there is none.

    A split's folder is none, nor is a class folder. tables: the folders with a table of labels, in which to stop.
    """
    prefix, stops = "", set(tables)
    while prefix.removesuffix("/") not in stops and not tree.images and len(tree.folders) == 1:
        top, inner = next(iter(tree.folders.items()))
        if top in SPLITS or not (inner.folders or f"{prefix}{top}" in stops):
            break
        prefix, tree = f"{prefix}{top}/", inner
    return prefix


def layout(tree: Tree, path: Path) -> Layout:
    """Read the tree below the wrapper. Raises TouchstoneError where it can be read in more than one way."""
    tops = tree.folders
    inside = {top: _see_through(top, folder) for top, folder in tops.items()}
    held = {top: _at(folder, inside[top]) for top, folder in tops.items()}
    splits = {top: plain_role(top) for top in tops if plain_role(top)}
    for top in tops.keys() - splits.keys():
        others = [held[other] for other in tops if other != top and role(other)]
        if role(top) and any(held[top].folders.keys() & other.folders.keys() for other in others):
            splits[top] = role(top)
    notes: list[str] = []
    if not any(split in LABELLED for split in splits.values()) or _are_classes(tops, splits, notes):
        check_no_splits(tops, path)
        notes += check_classes(tops, path, "")
        without = {top: UNLABELLED for top in tops if is_unlabelled(top)}
        return Layout(without, dict.fromkeys(without, ""), notes + renamed(without))
    splits |= {top: UNLABELLED for top in tops.keys() - splits.keys() if role(top) == UNLABELLED}
    _check_splits(tops, splits, path)
    return _split_layout(tops, splits, inside, path)


def _split_layout(tops: dict[str, Tree], splits: dict[str, str], inside: dict[str, str], path: Path) -> Layout:
    labelled = [top for top, split in splits.items() if split in LABELLED]
    common = {tuple(_at(tops[top], inside[top]).folders) for top in labelled}
    if len(common) == 1 and len(only := common.pop()) == 1:
        held = {top: _at(tops[top], f"{inside[top]}{only[0]}") for top in labelled}
        if all(folder.folders and not folder.images for folder in held.values()):  # train/images/<class>
            inside |= {top: f"{inside[top]}{only[0]}/" for top in labelled}
    train = next(top for top, split in splits.items() if split == "train")
    classes = _at(tops[train], inside[train]).folders
    notes = check_classes(classes, path, f"{train}/{inside[train]}") + renamed(splits)
    for top in labelled:
        if splits[top] == "test" and _has_no_classes(_at(tops[top], inside[top]), set(classes)):
            splits[top] = UNLABELLED
            notes.append(
                f"{top} holds {tops[top].total} images outside of class folders, so they are taken as unlabelled: "
                "predicted, never scored; test images are drawn from train"
            )
    return Layout(splits, {top: f"{top}/{inside[top]}" for top in splits}, notes)


def _at(folder: Tree, prefix: str) -> Tree:
    return folder.at(prefix.removesuffix("/"))


def _see_through(top: str, folder: Tree) -> str:
    """Return the folders of the same meaning that alone lie in a split's: `train/` in train/train/<class>."""
    prefix = ""
    while role(top) and not folder.images and len(folder.folders) == 1:
        name, inner = next(iter(folder.folders.items()))
        if not inner.folders or inner.images or not (name == top or role(name) == role(top)):
            break
        prefix, folder = f"{prefix}{name}/", inner
    return prefix


def _has_no_classes(folder: Tree, classes: set[str]) -> bool:
    """Return whether a test folder has images and no class folder: test/1.jpg, or test/images/1.jpg and its like."""
    if folder.images:
        return not folder.folders
    names = list(folder.folders)
    vague = len(names) == 1 and (is_plain(names[0]) or role(names[0]) in ("test", UNLABELLED))
    return vague and names[0] not in classes and folder.folders[names[0]].images > 0


def _are_classes(tops: dict[str, Tree], splits: dict[str, str], notes: list[str]) -> bool:
    """Return whether a folder with a split's name is a class, such as train beside plane; then a note says so.

    It is where all folders hold images and no folders, and one of them alone has such a name: train beside any, and
    another, such as valid, beside one other.
    """
    named = [top for top, split in splits.items() if split in LABELLED]
    others = [top for top in tops if top not in splits]
    flat = all(tops[top].images and not tops[top].folders for top in (*named, *others))
    if not (len(named) == 1 and others and flat and (splits[named[0]] == "train" or len(others) == 1)):
        return False
    notes.append(
        f"{named[0]} is taken as a class: like {', '.join(sorted(others)[:3])} it holds images and no class folders"
    )
    return True


def _check_splits(tops: dict[str, Tree], splits: dict[str, str], path: Path) -> None:
    for top in sorted(tops.keys() - splits.keys()):
        beside = ", ".join(sorted(other for other, split in splits.items() if split in LABELLED))
        flat = "" if "train" in splits.values() else f", or {UNLABELLED} if its images have no class"
        raise refusal(
            path,
            f"got the folder {top} beside a split's ({beside}), expected only {', '.join(SPLITS)}; move or rename it, "
            f"or rename {beside} if that is a class{flat}",
        )
    for split in LABELLED:
        same = sorted(top for top in splits if splits[top] == split)
        if len(same) > 1:
            raise refusal(path, f"the folders {' and '.join(same)} are both taken as {split}; put them together")
    if "train" not in splits.values():
        names = ", ".join(sorted(splits))
        raise refusal(path, f"got the folder {names} without train; add train/<class>/")


def renamed(splits: dict[str, str]) -> list[str]:
    """Return a note on the folders that have other names than their split; folder -> its split."""
    own = {(folder.rpartition("/")[2], split) for folder, split in splits.items()}
    ordered = sorted(own, key=lambda item: (SPLITS.index(item[1]), item[0]))
    pairs = [f"{name} as {split}" for name, split in ordered if name != split]
    return [f"took the {'folder' if len(pairs) == 1 else 'folders'} {', '.join(pairs)}"] if pairs else []


def twins(classes: Iterable[str]) -> list[str]:
    """Return a note on classes whose names differ in case alone."""
    by_name: dict[str, list[str]] = {}
    for name in sorted(classes):
        by_name.setdefault(name.casefold(), []).append(name)
    pairs = [" and ".join(names) for names in by_name.values() if len(names) > 1]
    more = f", and {len(pairs) - 3} more such pairs" if len(pairs) > 3 else ""
    shown = ", ".join(pairs[:3])
    return [f"classes differ in case alone: {shown}{more}; give them one name if they are one"] if pairs else []


def no_images(path: Path, name: str, others: str) -> TouchstoneError:
    """Return the error about a class folder without images; others: what it holds instead, or ""."""
    if others:
        return refusal(path, f"the class folder {name} has no images that are read: {others}")
    return refusal(path, f"the class folder {name} has no images; remove it or put images in it")
