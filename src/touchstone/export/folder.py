"""The folder that `touchstone export` writes: the file, its checks and its model card."""

import hashlib
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
from touchstone.export.formats import Format, format_of
from touchstone.studies.predict_folder import rows_of
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
    """Export a run or ensemble into `folder`, and return a line for each file it wrote.

    It replaces an earlier export in the same format. Raises TouchstoneError as `export` does, where the folder holds
    anything else or a card that was edited, and where metrics.json cannot be read.
    """
    form = format_of(to)
    _check_folder(folder, form)
    row = rows_of(metrics).get(name, {}) if metrics.is_file() else {}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replaced(folder) as new:
        done = export(name, new, form, settings=settings, data=DATA, images=images, int8=int8)
        stale = OTHER if row and scores_are_stale(root, metrics) else ""
        text = card(done, settings=settings, data=DATA, row=row, stale=stale, license_id=license_id)
        (new / CARD).write_text(text, encoding="utf-8")
        checks = done.checks | {"card_sha256": _sha256(new / CARD)}
        (new / CHECKS).write_text(json.dumps(checks, indent=2) + "\n", encoding="utf-8")
    return "\n".join(_line(folder, found, done) for found in done.checks.values() if "file" in found)


def _check_folder(folder: Path, form: Format) -> None:
    """Raise TouchstoneError where a folder holds anything but what an export in this format wrote, unchanged."""
    remedy = "give another folder with -o"
    if not folder.exists():
        return
    if not folder.is_dir():
        raise TouchstoneError(f"{folder}: expected a folder, which the export would write or replace; {remedy}")
    others = sorted({path.name for path in folder.iterdir()} - {CARD, CHECKS, *form.names()})
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise TouchstoneError(f"{folder}: holds {others[0]}{more}, which --to {form.name} does not write; {remedy}")
    if (folder / CARD).is_file() and not (folder / CHECKS).is_file():
        raise TouchstoneError(f"{folder}: holds a {CARD} that no export wrote; {remedy}")
    if (folder / CHECKS).is_file() and (folder / CARD).is_file():
        written = json.loads((folder / CHECKS).read_text(encoding="utf-8")).get("card_sha256", "")
        if written and written != _sha256(folder / CARD):
            raise TouchstoneError(
                f"{folder / CARD}: was edited, and a new export would replace it; move it away, or {remedy}"
            )


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _line(folder: Path, found: dict[str, Any], done: Exported) -> str:
    key = "map" if done.description.multi_label else "accuracy"
    return (
        f"{folder / found['file']}: {found['bytes'] / 1e6:.1f} MB, {named(key).name} {100 * found[key]:.2f} % on "
        f"{found['images']:,} test images ({100 * found['change']:+.2f}, {100 * found['change_low']:+.2f} to "
        f"{100 * found['change_high']:+.2f}), agreement {100 * found['agreement']:.2f} %, largest difference "
        f"{found['max_difference']:.2g}"
    )
