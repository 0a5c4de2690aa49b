"""Folders of explanations, of which those that a killed process has finished are not made again."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from touchstone.data.folders import replaced
from touchstone.training.resume import mark_complete, open_checkpoint


def resumed_folders(
    names: Sequence[str], make: Callable[[str, Path], None], *, to: Path, store: Path, fingerprint: str
) -> None:
    """Let `make` fill a folder for each name, and copy them to `to`.

    store: holds the folders of one fingerprint of the inputs. make: called with a name and its new folder.
    """
    folder = open_checkpoint(store, fingerprint)
    for name in names:
        if not (folder / name).is_dir():
            with replaced(folder / name) as new:
                make(name, new)
        shutil.copytree(folder / name, to / name)
    mark_complete(store, fingerprint, request="")
