"""Images that were made elsewhere, packed to become an added set."""

from collections import Counter
from pathlib import Path

import pandas as pd

from touchstone.data.labels import names
from touchstone.data.sources import folder
from touchstone.errors import TouchstoneError


def pack_added(name: str, path: Path, *, to: Path) -> Counter[str]:
    """Pack the images below `path` like the source `folder` into the empty folder `to`. Return class -> images.

    name: the entry of `generators`. Raises TouchstoneError, under the entry's key, on what the source refuses, and on
    images of a split or without a class: an added set is trained on as a whole.
    """
    key = f"generators.{name}.path"
    try:
        folder.download(to=to, path=path, mirror="", few=True)
    except TouchstoneError as error:
        raise TouchstoneError(str(error).replace("source.path", key)) from error  # the reader's only other user
    table = pd.read_csv(to / "manifest.csv", dtype=str, keep_default_na=False)
    for file, split in zip(table["file"], table["split"], strict=True):
        if split:
            raise TouchstoneError(
                f"{key}: {path}: {file} is of the split {split}, but an added set has no splits and is trained on as a "
                "whole; put its class folders directly in there"
            )
    return Counter(one for label in table["label"] for one in names(label))
