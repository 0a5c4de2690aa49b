"""`labels.csv` beside images: `file,label` or `file,label,split`, where a label may join several classes by `|`."""

import csv
import io
import unicodedata
from collections.abc import Collection

from touchstone.data.sources._names import class_name
from touchstone.errors import TouchstoneError, nearest

NAME = "labels.csv"
HEADERS = (["file", "label"], ["file", "label", "split"])
SPLITS = ("", "train", "val", "test", "unlabelled")


def parse(content: bytes, images: Collection[str], *, file: str) -> dict[str, tuple[str, str]]:
    """Image -> (label, split); an empty label says that none of the classes is there.

    images: names relative to the table's folder. Raises TouchstoneError on another header, a row of another length, an
    image that is not there or is listed twice, a name that no class can have, a class twice in one label, an unknown
    split, a label on an unlabelled image, and where no image has a label.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TouchstoneError(f"{file}: not a CSV file in UTF-8 ({error}); save it as one") from error
    header = rows[0] if rows else []
    if header not in HEADERS:
        raise TouchstoneError(
            f"{file}: got the header {','.join(header)!r}, expected file,label or file,label,split; or take the file "
            "away to go by class folders"
        )
    found: dict[str, tuple[str, str]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        where = f"{file}, line {number}"
        if len(row) != len(header):
            raise TouchstoneError(f"{where}: got {len(row)} cells, expected {len(header)}: {','.join(header)}")
        name, label, split = [*row, ""][:3]
        name = unicodedata.normalize("NFC", name)  # as those of images are
        if name not in images:
            raise TouchstoneError(f"{where}: no image {name!r} beside {NAME}{nearest(name, list(images))}")
        if name in found:
            raise TouchstoneError(f"{where}: {name} is listed twice; join its classes by |, as in cat|dog")
        found[name] = _label(label, split, where), split
    if not any(label for label, _ in found.values()):
        raise TouchstoneError(f"{file}: no image has a label; nothing can be learned from it")
    return found


def _label(label: str, split: str, where: str) -> str:
    """Its classes sorted, so that equal sets are equal texts."""
    classes = [class_name(name, where=where) for name in label.split("|")] if label else []
    if len(set(classes)) < len(classes):
        raise TouchstoneError(f"{where}: got the label {label!r}, expected each class once, joined by |")
    if split not in SPLITS:
        raise TouchstoneError(f"{where}: got the split {split!r}, expected train, val, test, unlabelled or nothing")
    if label and split == "unlabelled":
        raise TouchstoneError(f"{where}: an unlabelled image has the label {label!r}; take one of the two out")
    return "|".join(sorted(classes))
