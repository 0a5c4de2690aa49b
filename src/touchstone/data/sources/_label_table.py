"""`labels.csv` beside images: `file,label` or `file,label,split`, where `|` joins the classes of an image."""

import csv
import io
import unicodedata
from collections.abc import Collection

from touchstone.data.labels import join, names
from touchstone.data.sources._files import class_name
from touchstone.data.splits import SPLITS, UNLABELLED
from touchstone.errors import TouchstoneError, nearest

NAME = "labels.csv"
HEADERS = (["file", "label"], ["file", "label", "split"])


def parse(content: bytes, images: Collection[str], *, file: str) -> dict[str, tuple[str, str]]:
    """Return image -> (label, split). An empty label means that the image shows none of the classes.

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
            f"{file}: got the header {','.join(header)!r}, expected file,label or file,label,split; correct it, or "
            "remove the file to take labels from class folders"
        )
    labels: dict[str, tuple[str, str]] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        where = f"{file}, line {number}"
        if len(row) != len(header):
            raise TouchstoneError(f"{where}: got {len(row)} cells, expected {len(header)}: {','.join(header)}")
        name, label, split = [*row, ""][:3]
        name = unicodedata.normalize("NFC", name)  # as the images' names are
        if name not in images:
            raise TouchstoneError(f"{where}: no image {name!r} beside {NAME}{nearest(name, images)}; correct the name")
        if name in labels:
            raise TouchstoneError(f"{where}: {name} is listed twice; join its classes by |, as in cat|dog")
        labels[name] = _label(label, split, where), split
    if not any(label for label, _ in labels.values()):
        raise TouchstoneError(f"{file}: no image has a label, so nothing can be learned; label some")
    return labels


def _label(text: str, split: str, where: str) -> str:
    """Return the label with its classes sorted, so that equal sets of classes are equal texts."""
    classes = [class_name(name, where=where) for name in names(text)]
    if len(set(classes)) < len(classes):
        raise TouchstoneError(f"{where}: got the label {text!r}, expected each class once, joined by |")
    if split not in ("", *SPLITS):
        raise TouchstoneError(f"{where}: got the split {split!r}, expected {', '.join(SPLITS)} or nothing")
    if text and split == UNLABELLED:
        raise TouchstoneError(f"{where}: an unlabelled image has the label {text!r}; remove the label or the split")
    return join(sorted(classes))
