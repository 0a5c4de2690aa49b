"""Read files that stages wrote. A missing or damaged file is a one-line error that says what to run."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from touchstone.errors import TouchstoneError


def read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TouchstoneError(f"{file}: cannot be read ({error.strerror}); run `dvc repro`") from error


def read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(read_bytes(file))
    except ValueError as error:
        raise TouchstoneError(f"{file}: not JSON ({error}); run `dvc repro`") from error


def read_table(file: Path) -> pd.DataFrame:
    """A CSV file with every cell as text, since a class may be called 0 or NA."""
    try:
        return pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TouchstoneError(f"{file}: no readable table ({error}); run `dvc repro`") from error


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The cells as floats; NaN where they are empty."""
    return table.replace("", "nan").astype(float)
