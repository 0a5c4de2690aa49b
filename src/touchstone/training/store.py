"""Where resume states lie: one folder for each fingerprint of what a result depends on."""

import hashlib
import os
import shutil
from importlib import metadata
from pathlib import Path

from touchstone.code_hash import digest, imports

LIBRARIES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "diffusers",
    "numpy",
    "opencv-python-headless",
)  # whose versions decide about bytes
DELIVERED = "delivered.json"
KEEP = "TOUCHSTONE_KEEP_TRAINED"  # set: what ended is not done anew, though DVC asks for it again


def fingerprint(script: str, *known: str, accelerator: str) -> str:
    """What a stage's result depends on: what is `known`, the code of its script, versions, the kind of device."""
    versions = [f"{name} {metadata.version(name)}" for name in LIBRARIES]
    return "\n".join([*known, digest(imports(Path(script))), *versions, accelerator])


def folder_of(store: Path, fingerprint: str) -> Path:
    """The folder of a fingerprint; whether or not it is there."""
    return store / hashlib.sha256(fingerprint.encode()).hexdigest()[:32]


def drop_others(store: Path, folder: Path) -> None:
    """Remove the states of other fingerprints: a store holds one at a time."""
    for other in store.iterdir() if store.exists() else ():
        if other != folder:
            shutil.rmtree(other)


def opened(store: Path, fingerprint: str, *, asked: str = "") -> Path:
    """The folder of a fingerprint, made where it is missing; those of others are removed.

    It is emptied where the very thing `asked` for was `delivered` from it: a run that is forced is to check it.
    """
    folder = folder_of(store, fingerprint)
    drop_others(store, folder)
    note = folder / DELIVERED
    if note.exists() and note.read_text() == asked and not os.environ.get(KEEP):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def delivered(folder: Path, asked: str) -> None:
    """Note, once the outputs are written, what was asked for; what lies in the folder may serve for more."""
    (folder / DELIVERED).write_text(asked)
