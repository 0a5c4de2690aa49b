"""Your own images in a folder, or in a .zip or .tar archive of one.

    <class>/*                         no official split; a class may have deeper folders
    train|val|test/<class>/*          the split is given, also under names such as Training, seg_test or valid
    test/*                            beside train/<class>/: images without a class, as unlabelled
    unlabelled/**                     beside either: images without a class
    labels.csv                        instead of class folders: file,label and perhaps split, where | joins an image's
                                      classes, then columns such as patient, which `data.group` may name; images lie
                                      beside it or deeper, folders may say their split, and those in unlabelled/ have
                                      no row

All this may lie in folders that hold nothing else (_structure.py). Class names are the folders' names in NFC, sorted.
Files without a suffix, or with one that says nothing, are images if their content is one. Other files are reported and
left out; what systems leave behind is left out silently.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from touchstone.data import left_out
from touchstone.data.hidden import Aside
from touchstone.data.labels import names
from touchstone.data.recognise import has_image_suffix, may_be_image, recognised, taken_by_content
from touchstone.data.sources._files import Files, PackedSet, class_name, find, pack, refusal
from touchstone.data.sources._labels_csv import NAME, parse
from touchstone.data.sources._structure import Layout, layout, no_images, renamed, twins, wrapper
from touchstone.data.sources._told import tell, unlisted
from touchstone.data.sources._tree import tree_of
from touchstone.data.sources._words import check_images, folder_of_split, split_of_image
from touchstone.data.splits import LABELLED, UNLABELLED
from touchstone.errors import TouchstoneError


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None, few: bool = False) -> None:
    """Pack the images under `path` into `files.zip`, with `manifest.csv` (file, label, split, ..., sha256, bytes).

    What should be known of them is printed and written to `findings.csv`, if there is anything. A folder and an archive
    of it give the same bytes. `mirror` and `old` are not used. few: whether one class, or one image of a class, is
    enough. Raises TouchstoneError on a layout other than this module's, and on what `find` refuses.
    """
    aside = Aside(stage="collect" if few else "download")
    with tempfile.TemporaryFile(dir=to) as spool:
        keep = lambda name: may_be_image(name) or name.rpartition("/")[2] == NAME  # noqa: E731
        files, folders = find(path, to, spool, keep=keep, aside=aside)
        tables = {name.rpartition("/")[0] for name in files if name.rpartition("/")[2] == NAME}
        by_content = recognised(files, folders, anywhere=bool(tables))
        taken = {*filter(has_image_suffix, files), *by_content}
        root = wrapper(tree_of(taken, folders), tables)
        inside = {name.removeprefix(root): read_content for name, read_content in files.items()}
        images = {name.removeprefix(root): files[name] for name in files if name in taken}
        others = [name for name in inside if name not in images and not name.endswith((".dvc", NAME))]
        folders = {name.removeprefix(root) for name in folders if name.startswith(root)}
        if NAME in inside:
            labels, cells, notes, class_of = _table_labels(inside[NAME](), images, path, few=few)
        else:
            labels, notes, class_of = _folder_labels(images, folders, others, path, few=few)
            cells = {}
        aside.folders = Counter({name.removeprefix(root): count for name, count in aside.folders.items()})
        pictures = left_out.pictures(others, class_of)
        plain = [name for name in others if left_out.kind(name) == "other"]
        for line in unlisted(plain, "files that are not images", "file that is not an image"):
            print(f"{path}: {line}")
        notes += taken_by_content(name.removeprefix(root) for name in by_content if name.removeprefix(root) in labels)
        notes += twins({each for label, _ in labels.values() for each in names(label)})
        unread = pictures + unlisted(images.keys() - labels.keys(), f"images that {NAME} does not list")
        tell(path, to, notes=notes, left_out=unread, aside=aside)
        blank = dict.fromkeys(next(iter(cells.values()), {}), "")
        rows = {name: (*labels[name], *cells.get(name, blank).values()) for name in labels}
        pack({name: images[name] for name in labels}, to, labels=rows, columns=("label", "split", *blank))


read = PackedSet


# --- labels of a table ---


def _table_labels(
    content: bytes, images: Files, path: Path, *, few: bool
) -> tuple[dict[str, tuple[str, str]], dict[str, dict[str, str]], list[str], Callable[[str], str]]:
    """Return the (label, split) of each image that the table lists or that is unlabelled, its other columns, and notes.

    An image in a folder with a split's name belongs to that split unless the table gives another; images in a folder of
    the test split that it does not list at all are unlabelled. few: whether it is an added set, which has no splits.
    """
    where = f"source.path: {path}: {NAME}"
    found = parse(content, images, file=where)
    labels = found.rows
    silent = [name for name, (_, split) in labels.items() if not split]
    by_folder = {name: split_of_image(name, labels[name][0], where=where) for name in silent}
    if few:
        by_folder = _without_splits(by_folder, where)
    check_images(by_folder, where=where)
    labels |= {name: (labels[name][0], split) for name, split in by_folder.items()}
    said = {name: folder_of_split(name) for name in images}
    in_use = {said[name][0] for name in labels}
    tests = {each for each, split in said.values() if split == "test"} - in_use
    others = [name for name in images if name not in labels]
    unlabelled = [name for name in others if said[name][1] == UNLABELLED]
    labels |= dict.fromkeys([*unlabelled, *(name for name in others if said[name][0] in tests)], ("", UNLABELLED))
    taken = [*unlabelled, *(name for name, split in by_folder.items() if split)]
    notes = found.notes + renamed(dict(said[name] for name in taken))
    for each in sorted(tests):
        notes.append(f"{NAME} lists no image of {each}, so they are taken as unlabelled: predicted, never scored")
    every = {label for label, split in labels.values() if split != UNLABELLED}
    if not few and len(every) == 1:
        raise refusal(path, f"{NAME}: every image is {every.pop()}, so there is nothing to learn; add other images")
    return labels, found.cells, notes, lambda name: ""


def _without_splits(by_folder: dict[str, str], where: str) -> dict[str, str]:
    """Return the splits by folders of an added set, which is trained on as a whole: a folder called train says none.

    Raises TouchstoneError on an image in a folder of val or test.
    """
    for name, split in by_folder.items():
        if split in ("val", "test"):
            raise TouchstoneError(
                f"{where}: {name} lies in a folder of {split}, but an added set has no splits and is trained on as a "
                f"whole; rename the folder {folder_of_split(name)[0]}, or remove its rows"
            )
    return {name: "" if split == "train" else split for name, split in by_folder.items()}


# --- labels of folders ---


def _folder_labels(
    images: Files, folders: set[str], others: list[str], path: Path, *, few: bool
) -> tuple[dict[str, tuple[str, str]], list[str], Callable[[str], str]]:
    """Return the (label, split) of each image, notes, and the function that tells the class of any file."""
    found = layout(tree_of(images, folders), path)
    _check_images(images, folders, found, path)
    labels = {name: found.of(name) for name in images}
    counts = Counter(labels.values())  # (label, split) -> images
    for name in sorted(folders):
        label, split = found.of(name)
        depth = (found.inner[name.partition("/")[0]] if split else "").count("/")
        if not label or name.count("/") != depth:
            continue
        class_name(label, where=f"source.path: {path}")
        if not counts[label, split]:
            raise no_images(path, name, _instead(name, others))
        if not few and not found.labelled and counts[label, split] < 2:
            raise refusal(path, f"class {label} has 1 image; at least 2 are needed: add some, or remove the class")
    classes = {label for label, split in counts if split == ("train" if found.labelled else "")}
    if not few and len(classes) < 2:
        got = f"got {len(classes)} class ({', '.join(classes)})"
        raise refusal(path, f"{got}, expected at least two; add a class folder")
    for label, split in sorted(counts):
        if split in ("val", "test") and label not in classes:
            raise refusal(path, f"the class {label} of {split} is not in train; add train/{label} or remove it")
    return labels, found.notes, lambda name: found.of(name)[0] if "/" in name else ""


def _instead(folder: str, others: Iterable[str]) -> str:
    """Return what a folder without images holds, "" where that is nothing that seems to be an image."""
    kinds = Counter(left_out.kind(name) for name in others if name.startswith(f"{folder}/"))
    del kinds["other"]
    return "; ".join(f"{left_out.of(kind, count)}, {left_out.remedy(kind)}" for kind, count in sorted(kinds.items()))


def _check_images(images: Iterable[str], folders: set[str], found: Layout, path: Path) -> None:
    """Check that each image lies in a class folder, and that folders of splits hold images."""
    expected = "expected <class>/<image>" + (f" under each of {', '.join(LABELLED)}" if found.labelled else "")
    tops = sorted(name for name in folders if "/" not in name)
    for name in images:
        top = name.partition("/")[0]
        inner = found.inner.get(top, "") if "/" in name else ""
        if found.splits.get(top) != UNLABELLED and "/" not in name.removeprefix(inner):
            raise refusal(path, f"the image {name} is not in a class folder; {expected}: move it into one")
    if not [top for top in tops if found.splits.get(top) != UNLABELLED]:
        raise refusal(path, f"no class folder; {expected}, at least two classes")
    for top in tops:
        if top in found.splits and not any(name.startswith(f"{top}/") for name in images):
            raise refusal(path, f"the folder {top} has no images; remove the folder or put images in it")
