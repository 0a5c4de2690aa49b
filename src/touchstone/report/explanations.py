"""Read explanations for the report: attention, attributions to pixels, the nearest training images."""

from collections.abc import Callable
from pathlib import Path

from touchstone.data.imageset import load, read_files
from touchstone.data.sheets import valid_area
from touchstone.report.facts import Attention, Attributions, Neighbour
from touchstone.report.files import numbers, read_bytes, read_json, read_table


def attention(folder: Path) -> dict[str, Attention]:
    """Run -> attention, for runs whose net has any."""
    runs = read_json(folder / "attention.json")
    return {name: Attention(read_bytes(folder / f"{name}.png"), **figures) for name, figures in runs.items()}


def neighbours(data: Path) -> Callable[[str], Neighbour | None]:
    """A function that maps the id of a test image to the nearest training image; None without training images."""
    train, files = load(data / "prepared/train"), read_files(data / "prepared", "train")
    row_of = {name: row for row, name in enumerate(train.table["id"])}
    table = read_table(data / "audit/test-nearest.csv")
    rows = {test: row_of[nearest] for test, nearest in zip(table["id"], table["nearest_id"], strict=True)}

    def neighbour(test: str) -> Neighbour | None:
        if test not in rows:
            return None
        row = rows[test]
        return Neighbour(row, files[row], train.table["label"].iloc[row], valid_area(train, row))

    return neighbour


def attributions(folder: Path) -> Attributions:
    """The attributions of a run."""
    images, sanity = read_table(folder / "images.csv"), read_table(folder / "sanity.csv")
    figures = [str(name) for name in images if name not in ("file", "true", "explained")]
    images[figures] = numbers(images[figures])
    sanity[["layers", "likeness", "another_seed"]] = numbers(sanity[["layers", "likeness", "another_seed"]])
    return Attributions(read_bytes(folder / "sheet.png"), images, sanity.astype({"layers": int}))
