"""What explains answers, read for the report: attention, attributions to pixels, the nearest training images."""

from collections.abc import Callable
from pathlib import Path

from touchstone.data.imageset import load, read_files
from touchstone.data.sheets import valid_area
from touchstone.report.facts import Attention, Attributions, Neighbour
from touchstone.report.files import read_bytes, read_json, read_table


def attention(folder: Path) -> dict[str, Attention]:
    """Where the attention of runs lies, of those whose net has any."""
    found = read_json(folder / "attention.json")
    return {name: Attention(read_bytes(folder / f"{name}.png"), **figures) for name, figures in found.items()}


def neighbours(data: Path) -> Callable[[str], Neighbour | None]:
    """Test id -> the nearest training image."""
    train, files = load(data / "prepared/train"), read_files(data / "prepared", "train")
    row_of = {name: row for row, name in enumerate(train.table["id"])}
    found = read_table(data / "audit/test-nearest.csv")
    rows = {test: row_of[known] for test, known in zip(found["id"], found["nearest_id"], strict=True)}

    def neighbour(test: str) -> Neighbour | None:
        if test not in rows:
            return None
        row = rows[test]
        return Neighbour(row, files[row], train.table["label"].iloc[row], valid_area(train, row))

    return neighbour


def attributions(folder: Path) -> Attributions:
    """Which pixels speak for a run's answers."""
    images = read_table(folder / "images.csv")
    numbers = [str(name) for name in images if name not in ("file", "true", "explained")]
    sanity = (
        read_table(folder / "sanity.csv")
        .replace("", "nan")
        .astype({"layers": int, "likeness": float, "another_seed": float})
    )
    images[numbers] = images[numbers].replace("", "nan").astype(float)
    return Attributions(read_bytes(folder / "sheet.png"), images, sanity)
