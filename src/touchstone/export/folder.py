"""The folder that `touchstone export` writes: the file, its checks and its model card."""

import json
from pathlib import Path
from typing import Any

from touchstone.config.settings import Settings
from touchstone.data.folders import replaced
from touchstone.errors import TouchstoneError
from touchstone.evaluation.metrics import named
from touchstone.export.card import card
from touchstone.export.command import CARD, CHECKS, Exported, export
from touchstone.export.description import Images
from touchstone.export.formats import format_of
from touchstone.studies.stale import OTHER, scores_are_stale

DATA = Path("data")


def export_to_folder(
    name: str,
    folder: Path,
    *,
    settings: Settings,
    to: str,
    int8: bool,
    images: Images,
    root: Path,
    metrics: Path,
    license_id: str,
) -> str:
    """Export a run or ensemble into `folder`, which it replaces, and return a line for each file it wrote.

    Raises TouchstoneError as `export` does, and where the folder holds something else.
    """
    _check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replaced(folder) as new:
        done = export(name, new, format_of(to), settings=settings, data=DATA, images=images, int8=int8)
        row = json.loads(metrics.read_text(encoding="utf-8")).get(name, {}) if metrics.is_file() else {}
        stale = OTHER if row and scores_are_stale(root, metrics) else ""
        text = card(done, settings=settings, data=DATA, row=row, stale=stale, license_id=license_id)
        (new / CARD).write_text(text, encoding="utf-8")
    return "\n".join(_line(folder, found, done) for found in done.checks.values() if "file" in found)


def _check_folder(folder: Path) -> None:
    """Only what an earlier export wrote is replaced."""
    if folder.exists() and not (folder.is_dir() and ((folder / CHECKS).is_file() or not any(folder.iterdir()))):
        raise TouchstoneError(f"{folder}: holds something other than an export; give a new folder with -o")


def _line(folder: Path, found: dict[str, Any], done: Exported) -> str:
    key = "map" if done.description.multi_label else "accuracy"
    return (
        f"{folder / found['file']}: {found['bytes'] / 1e6:.1f} MB, {named(key).name} {100 * found[key]:.2f} % on "
        f"{found['images']:,} test images ({100 * found['change']:+.2f}, {100 * found['change_low']:+.2f} to "
        f"{100 * found['change_high']:+.2f}), agreement {100 * found['agreement']:.2f} %, largest difference "
        f"{found['max_difference']:.2g}"
    )
