"""Confusion matrices, and how two of them differ: shading, numbers and words for the drawings of the page."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from touchstone.report.facts import Scored
from touchstone.report.pictures import data_uri
from touchstone.report.table import Table, csv_text
from touchstone.report.words import points

CELL = 8  # px, the side of a cell: room for scaling without blur
LABELLED = 15  # classes up to which a matrix has names and numbers
RIGHT, WRONG = (70, 132, 186), (222, 140, 36)  # RGB; opacity carries the share, so that any background serves


@dataclass(frozen=True)
class Cell:
    """A cell that is not empty: its text and what it says at length."""

    row: int
    column: int
    text: str
    title: str


@dataclass(frozen=True)
class Matrix:
    """A drawing of classes x classes. heat: its shading, a data: URI. note: beneath it. csv: what it is drawn from."""

    title: str
    label: str
    note: str
    heat: str
    cells: list[Cell]
    csv: str


def confusion(entry: Scored, classes: list[str]) -> Matrix:
    """Rows true, columns predicted, in per cent of the row: the diagonal in blue, errors in ochre.

    Errors are few, so their opacity grows with the square root of the share.
    """
    errors = confusions(entry, classes)
    label = f"Confusion matrix of {entry.name}, rows true, columns predicted; most frequent errors: {errors}"
    alpha = np.sqrt(_shares(entry))
    diagonal = np.eye(len(classes), dtype=bool)
    alpha[diagonal] = 0.6 * _shares(entry).diagonal()
    note = f"Most frequent errors: {errors}."
    return Matrix(
        entry.name, label, note, _heat(diagonal, alpha), cells(entry, classes), _csv(entry.confusion, classes)
    )


def difference(entry: Scored, other: Scored, classes: list[str]) -> Matrix:
    """What `entry` has less `other`, in points of the row: better in blue, worse in ochre, the largest most opaque."""
    moved = _shares(entry) - _shares(other)
    diagonal = np.eye(len(classes), dtype=bool)
    better = np.where(diagonal, moved > 0, moved < 0)
    alpha = 0.85 * np.abs(moved) / max(float(np.abs(moved).max()), 1e-12)
    told = _changes(moved, classes)
    label = f"Confusion matrix of {entry.name} less that of {other.name}; largest changes: {told}"
    shown = []
    for i, j in np.argwhere(np.abs(moved) >= 0.005) if len(classes) <= LABELLED else ():
        text = f"{100 * moved[i, j]:+.0f}".replace("-", "\u2212")
        shown.append(Cell(int(i), int(j), text, f"{classes[i]} taken for {classes[j]}: {points(moved[i, j])} points"))
    title = f"{entry.name} less {other.name}"
    return Matrix(title, label, f"Largest changes: {told}.", _heat(better, alpha), shown, _csv(moved.round(5), classes))


def cells(entry: Scored, classes: list[str]) -> list[Cell]:
    """Per cent of the row, as whole numbers; none where there are more classes than have room."""
    if len(classes) > LABELLED:
        return []
    out = []
    for i, j in np.argwhere(entry.confusion):
        here, total = int(entry.confusion[i, j]), int(entry.confusion[i].sum())
        share = 100 * here / total
        text = f"{share:.0f}" if share >= 1 else "<1"
        out.append(Cell(int(i), int(j), text, f"{classes[i]} taken for {classes[j]}: {here:,} of {total:,}"))
    return out


def confusions(entry: Scored, classes: list[str], *, most: int = 3) -> str:
    """The most frequent errors: `8 for 1 (12 of 246)`."""
    errors = entry.confusion - np.diag(entry.confusion.diagonal())
    found = []
    for i, j in _largest(errors, most):
        if errors[i, j]:
            found.append(f"{classes[i]} taken for {classes[j]} ({errors[i, j]:,} of {entry.confusion[i].sum():,})")
    return ", ".join(found) or "none"


def _changes(moved: np.ndarray, classes: list[str], *, most: int = 3) -> str:
    """`1 taken for 9 (−3.25 points)`, the largest ones off the diagonal."""
    errors = moved - np.diag(moved.diagonal())
    found = [
        f"{classes[i]} taken for {classes[j]} ({points(errors[i, j])} points)"
        for i, j in _largest(np.abs(errors), most)
        if errors[i, j]
    ]
    return ", ".join(found) or "none"


def _largest(values: np.ndarray, most: int) -> list[tuple[int, int]]:
    order = np.argsort(-values, axis=None, kind="stable")[:most]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, values.shape), strict=True)]


def _shares(entry: Scored) -> np.ndarray:
    """Each row by its own sum, float64 (classes, classes)."""
    return entry.confusion / np.maximum(entry.confusion.sum(1, keepdims=True), 1)


def _csv(values: np.ndarray, classes: list[str]) -> str:
    rows = [[name, *map(str, row)] for name, row in zip(classes, values.tolist(), strict=True)]
    return csv_text(Table("", ["true, predicted", *classes], rows))


def _heat(better: np.ndarray, alpha: np.ndarray) -> str:
    """Shading, bool and float (classes, classes)."""
    rgb = np.where(better[..., None], np.array(RIGHT, np.uint8), np.array(WRONG, np.uint8))
    pixels = np.dstack([rgb, np.round(255 * alpha).astype(np.uint8)])  # (classes, classes, 4)
    scale = CELL if len(better) <= 64 else 1
    return _heat_uri(pixels.repeat(scale, 0).repeat(scale, 1).tobytes(), len(better) * scale)


@cache
def _heat_uri(pixels: bytes, side: int) -> str:
    return data_uri(Image.frombytes("RGBA", (side, side), pixels))
