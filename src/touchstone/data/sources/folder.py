"""Your own images in a folder, or in a .zip or .tar archive of one.

    <class>/*                         no official split; a class may have deeper folders
    train|val|test/<class>/*          the split is given
    unlabelled/**                     beside either: images without a class
    labels.csv                        instead of class folders: file,label and perhaps split, where | joins an image's
                                      classes, then columns such as patient, which `data.group` may name; images lie
                                      beside it or deeper, in unlabelled/ without a row

All this may lie in a single top folder. Class names are the folders' names in NFC, sorted. Files whose suffix Pillow
does not read are reported and left out; hidden files are left out silently.
"""

import csv
import io
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from touchstone.data.labels import join, names
from touchstone.data.sources._files import Files, PackedSet, class_name, find, is_image, pack, print_left_out, refusal
from touchstone.data.splits import LABELLED, SPLITS, UNLABELLED
from touchstone.errors import TouchstoneError, nearest

NAME = "labels.csv"
RESERVED = ("sha256", "bytes", "difficult")  # names of columns that the manifest has for itself


def download(*, to: Path, path: Path, mirror: str, old: Path | None = None, few: bool = False) -> None:
    """Pack the images under `path` into `files.zip`, with `manifest.csv` (file, label, split, ..., sha256, bytes).

    A folder and an archive of it give the same bytes. `mirror` and `old` are not used. few: whether one class,
    or one image of a class, is enough. Raises TouchstoneError on a
    layout other than this module's, and on what `find` refuses.
    """
    with tempfile.TemporaryFile(dir=to) as spool:
        files, folders = find(path, to, spool, keep=lambda name: is_image(name) or name.rpartition("/")[2] == NAME)
        others = (name for name in files if not is_image(name) and not name.endswith((".dvc", NAME)))
        print_left_out(path, others, "that are not images")
        images = {name: read_content for name, read_content in files.items() if is_image(name)}
        root = _wrapper(images, folders, files)
        images = {name.removeprefix(root): read_content for name, read_content in images.items()}
        folders = {name.removeprefix(root) for name in folders if name + "/" != root}
        if root + NAME in files:
            labels, cells = _table_labels(files[root + NAME](), images, path, few=few)
        else:
            labels, cells = _folder_labels(images, folders, path, few=few), {}
        blank = dict.fromkeys(next(iter(cells.values()), {}), "")
        rows = {name: (*labels[name], *cells.get(name, blank).values()) for name in labels}
        pack({name: images[name] for name in labels}, to, labels=rows, columns=("label", "split", *blank))


read = PackedSet


def _wrapper(images: Iterable[str], folders: set[str], files: Files) -> str:
    """Return `top/` if a single folder holds everything and has folders or a table of labels in it; otherwise ""."""
    if NAME in files:
        return ""
    tops = {name.split("/")[0] for name in (*images, *folders)}
    top = tops.pop() if len(tops) == 1 else ""
    inside = f"{top}/{NAME}" in files or any(name.startswith(top + "/") for name in folders)
    return f"{top}/" if top and top not in SPLITS and inside else ""


# --- labels of a table ---


def _table_labels(
    content: bytes, images: Files, path: Path, *, few: bool
) -> tuple[dict[str, tuple[str, str]], dict[str, dict[str, str]]]:
    """Return the (label, split) of each image that the table lists or that is unlabelled, and its other columns.

    Prints a line on images that it does not list. An image in a folder with a split's name belongs to that split
    unless the table gives another.
    """
    labels, others = _parse(content, images, file=f"source.path: {path}: {NAME}")
    for name, (label, split) in labels.items():
        top = name.partition("/")[0] if "/" in name else ""
        if not split and top in SPLITS:
            labels[name] = label, top
            if label and top == UNLABELLED:
                remedy = "move it or remove the label"
                raise refusal(path, f"{NAME}: {name} lies in {UNLABELLED} and has the label {label!r}; {remedy}")
    labels |= {name: ("", UNLABELLED) for name in images if name not in labels and name.startswith(f"{UNLABELLED}/")}
    print_left_out(path, images.keys() - labels.keys(), f"images that {NAME} does not list")
    classes = {name for label, _ in labels.values() for name in names(label)}
    if (
        not few
        and len(classes) < 2
        and all(label in classes for label, split in labels.values() if split != UNLABELLED)
    ):
        raise refusal(path, f"{NAME}: every image is {classes.pop()}, so there is nothing to learn; add other images")
    return labels, others


def _parse(content: bytes, images: Files, *, file: str) -> tuple[dict[str, tuple[str, str]], dict[str, dict[str, str]]]:
    """Return image -> (label, split), and image -> column -> cell for all other columns.

    An empty label means that the image shows none of the classes.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TouchstoneError(f"{file}: not a CSV file in UTF-8 ({error}); save it as one") from error
    header = rows[0] if rows else []
    if header[:2] != ["file", "label"] or "" in header or len(set(header)) < len(header):
        raise TouchstoneError(
            f"{file}: got the header {','.join(header)!r}, expected file,label or file,label,split, then columns of "
            "your own, each with a name; correct it, or remove the file to take labels from class folders"
        )
    if taken := [name for name in header if name in RESERVED]:
        raise TouchstoneError(f"{file}: a column is called {taken[0]}, which is taken; give it another name")
    labels: dict[str, tuple[str, str]] = {}
    others: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        where = f"{file}, line {number}"
        if len(row) != len(header):
            raise TouchstoneError(f"{where}: got {len(row)} cells, expected {len(header)}: {','.join(header)}")
        cells = dict(zip(header, row, strict=True))
        name, label, split = cells.pop("file"), cells.pop("label"), cells.pop("split", "")
        name = unicodedata.normalize("NFC", name)  # as the images' names are
        if name not in images:
            raise TouchstoneError(f"{where}: no image {name!r} beside {NAME}{nearest(name, images)}; correct the name")
        if name in labels:
            raise TouchstoneError(f"{where}: {name} is listed twice; join its classes by |, as in cat|dog")
        classes = [class_name(each, where=where) for each in names(label)]
        if len(set(classes)) < len(classes):
            raise TouchstoneError(f"{where}: got the label {label!r}, expected each class once, joined by |")
        if split not in ("", *SPLITS):
            raise TouchstoneError(f"{where}: got the split {split!r}, expected {', '.join(SPLITS)} or nothing")
        if label and split == UNLABELLED:
            raise TouchstoneError(
                f"{where}: an unlabelled image has the label {label!r}; remove the label or the split"
            )
        labels[name] = join(sorted(classes)), split  # sorted: equal sets of classes are equal labels
        others[name] = cells
    if not any(label for label, _ in labels.values()):
        raise TouchstoneError(f"{file}: no image has a label, so nothing can be learned; label some")
    return labels, others


# --- labels of folders ---


def _folder_labels(images: Files, folders: set[str], path: Path, *, few: bool) -> dict[str, tuple[str, str]]:
    splits = any(split in folders for split in LABELLED)
    _check_tops(images, folders, path, splits=splits)
    labels = {name: _label(name, splits=splits) for name in images}
    counts = Counter(labels.values())  # (label, split) -> images
    depth = 1 if splits else 0  # the number of slashes in a class folder's name
    for name in sorted(folder for folder in folders if folder.count("/") == depth):
        label, split = _label(name, splits=splits)
        if split == UNLABELLED:
            continue
        class_name(label, where=f"source.path: {path}")
        if not counts[label, split]:
            raise refusal(path, f"the class folder {name} has no images; remove it or put images in it")
        if not few and not splits and counts[label, split] < 2:
            raise refusal(path, f"class {label} has 1 image; at least 2 are needed: add some, or remove the class")
    classes = {label for label, split in counts if split == ("train" if splits else "")}
    if not few and len(classes) < 2:
        got = f"got {len(classes)} class ({', '.join(classes)})"
        raise refusal(path, f"{got}, expected at least two; add a class folder")
    for label, split in sorted(counts):
        if split in ("val", "test") and label not in classes:
            raise refusal(path, f"the class {label} of {split} is not in train; add train/{label} or remove it")
    return labels


def _label(name: str, *, splits: bool) -> tuple[str, str]:
    """Return the (label, split) of an image or a class folder."""
    top, _, rest = name.partition("/")
    if top == UNLABELLED:
        return "", UNLABELLED
    return (rest.split("/")[0], top) if splits else (top, "")


def _check_tops(images: Iterable[str], folders: set[str], path: Path, *, splits: bool) -> None:
    """Check what lies directly under the root, and directly under a split's folder."""
    expected = "expected <class>/<image>" + (f" under each of {', '.join(LABELLED)}" if splits else "")
    tops = sorted(name for name in folders if "/" not in name)
    depth = 2 if splits else 1  # the number of slashes that an image's name needs
    for name in images:
        if name.count("/") < depth and not name.startswith(f"{UNLABELLED}/"):
            raise refusal(path, f"the image {name} is not in a class folder; {expected}: move it into one")
    if not set(tops) - {UNLABELLED}:
        raise refusal(path, f"no class folder; {expected}, at least two classes")
    for top in tops:
        if splits and top not in SPLITS:
            allowed = ", ".join(SPLITS)
            raise refusal(path, f"got the folder {top} beside a split's, expected only {allowed}; move or rename it")
        if top in SPLITS and not any(name.startswith(f"{top}/") for name in images):
            raise refusal(path, f"the folder {top} has no images; remove the folder or put images in it")
    if splits and "train" not in tops:
        raise refusal(path, f"got the folder {', '.join(tops)} without train; add train/<class>/")
