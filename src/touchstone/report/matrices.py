"""Confusion matrices and their differences: shading, numbers and words for the drawings of the page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from touchstone.report.facts import Facts, ReportedResult
from touchstone.report.pictures import data_uri
from touchstone.report.table import Table, csv_text
from touchstone.report.words import MINUS, points

CELL = 8  # px, the side of a cell: room for scaling without blur
LABELLED = 15  # classes up to which a matrix has names and numbers
RIGHT, WRONG = (70, 132, 186), (222, 140, 36)  # RGB; opacity carries the share, on any background


@dataclass(frozen=True)
class Cell:
    """A cell that is not empty."""

    row: int
    column: int
    text: str
    title: str
    """The text at length."""


@dataclass(frozen=True)
class Matrix:
    """A drawing of classes x classes."""

    title: str
    label: str
    """A description for those who do not see it."""
    note: str
    """The text beneath it."""
    heat: str
    """Its shading, a data: URI."""
    cells: list[Cell]
    csv: str
    """The numbers that it is drawn from."""


def confusion(result: ReportedResult, classes: list[str]) -> Matrix:
    """Rows true, columns predicted, in per cent of the row: the diagonal in blue, errors in ochre.

    Errors are few, so their opacity grows with the square root of the share.
    """
    counts, totals = result.confusion, result.confusion.sum(1)
    errors = _largest(counts, classes, lambda i, j: f"{counts[i, j]:,} of {totals[i]:,}")
    label = f"Confusion matrix of {result.name}, rows true, columns predicted; most frequent errors: {errors}"
    diagonal, shares = np.eye(len(classes), dtype=bool), _shares(result)
    heat = _heat(diagonal, np.where(diagonal, 0.6 * shares, np.sqrt(shares)))
    note = f"Most frequent errors: {errors}."
    return Matrix(result.name, label, note, heat, cells(result, classes), _csv(counts, classes))


def difference(result: ReportedResult, other: ReportedResult, classes: list[str]) -> Matrix:
    """`result` minus `other`, in points of the row: better in blue, worse in ochre, the largest most opaque."""
    change = _shares(result) - _shares(other)
    better = np.where(np.eye(len(classes), dtype=bool), change > 0, change < 0)
    heat = _heat(better, 0.85 * np.abs(change) / max(float(np.abs(change).max()), 1e-12))
    largest = _largest(np.abs(change), classes, lambda i, j: f"{points(change[i, j])} points")
    label = f"Confusion matrix of {result.name} minus that of {other.name}; largest changes: {largest}"
    labelled = []
    for i, j in np.argwhere(np.abs(change) >= 0.005) if len(classes) <= LABELLED else ():
        text = f"{100 * change[i, j]:+.0f}".replace("-", MINUS)
        title = f"{classes[i]} taken for {classes[j]}: {points(change[i, j])} points"
        labelled.append(Cell(int(i), int(j), text, title))
    title, note = f"{result.name} minus {other.name}", f"Largest changes: {largest}."
    return Matrix(title, label, note, heat, labelled, _csv(change.round(5), classes))


def most_changed(facts: Facts, *, most: int = 12) -> Table:
    """The confusions whose share of the true class an arm changes most against its baseline, the largest first."""
    changes = []
    for result in facts.results:
        if result.model and "gain" in result.scores and len(result.confusion):
            before, after = _shares(facts.result(str(result.scores["baseline"]))), _shares(result)
            for i, j in zip(*np.nonzero(after != before), strict=True):
                if i != j:
                    names = [result.name, facts.classes[i], facts.classes[j]]
                    changes.append((names, float(before[i, j]), float(after[i, j])))
    changes.sort(key=lambda change: -abs(change[2] - change[1]))
    rows = [
        [*names, f"{100 * before:.1f}", f"{100 * after:.1f}", points(after - before)]
        for names, before, after in changes[:most]
    ]
    return Table("lllrrr", ["run", "true", "taken for", "before, %", "after, %", "points"], rows)


def cells(result: ReportedResult, classes: list[str]) -> list[Cell]:
    """Per cent of the row, as whole numbers; none where there are too many classes to label."""
    if len(classes) > LABELLED:
        return []
    labelled = []
    for i, j in np.argwhere(result.confusion):
        here, total = int(result.confusion[i, j]), int(result.confusion[i].sum())
        share = 100 * here / total
        text = f"{share:.0f}" if share >= 1 else "<1"
        labelled.append(Cell(int(i), int(j), text, f"{classes[i]} taken for {classes[j]}: {here:,} of {total:,}"))
    return labelled


def _largest(sizes: np.ndarray, classes: list[str], describe: Callable[[int, int], str], *, most: int = 3) -> str:
    """The largest entries off the diagonal, such as `8 taken for 1 (12 of 246)`; none where all are 0."""
    errors = sizes - np.diag(sizes.diagonal())
    order = np.argsort(-errors, axis=None, kind="stable")[:most]
    places = [(i, j) for i, j in zip(*np.unravel_index(order, errors.shape), strict=True) if errors[i, j]]
    return ", ".join(f"{classes[i]} taken for {classes[j]} ({describe(i, j)})" for i, j in places) or "none"


def _shares(result: ReportedResult) -> np.ndarray:
    """The confusion matrix with each row divided by its sum, float64 (classes, classes)."""
    return result.confusion / np.maximum(result.confusion.sum(1, keepdims=True), 1)


def _csv(values: np.ndarray, classes: list[str]) -> str:
    rows = [[name, *map(str, row)] for name, row in zip(classes, values.tolist(), strict=True)]
    return csv_text(Table("", ["true, predicted", *classes], rows))


def _heat(better: np.ndarray, alpha: np.ndarray) -> str:
    """Shade cells, bool and float (classes, classes), as a data: URI."""
    rgb = np.where(better[..., None], np.array(RIGHT, np.uint8), np.array(WRONG, np.uint8))
    pixels = np.dstack([rgb, np.round(255 * alpha).astype(np.uint8)])  # (classes, classes, 4)
    scale = CELL if len(better) <= 64 else 1
    return _heat_uri(pixels.repeat(scale, 0).repeat(scale, 1).tobytes(), len(better) * scale)


@cache
def _heat_uri(pixels: bytes, side: int) -> str:
    return data_uri(Image.frombytes("RGBA", (side, side), pixels))
