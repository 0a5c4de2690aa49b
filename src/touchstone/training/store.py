"""Where resume states lie: one folder for each fingerprint of what a result depends on."""

import hashlib
import shutil
from pathlib import Path

import torch

from touchstone.closure import digest, imports


def fingerprint(script: str, *known: str, accelerator: str) -> str:
    """What a stage's result depends on: what is `known`, the code of its script, torch, the kind of device."""
    return "\n".join([*known, digest(imports(Path(script))), f"torch {torch.__version__} on {accelerator}"])


def folder_of(store: Path, fingerprint: str) -> Path:
    """The folder of a fingerprint; whether or not it is there."""
    return store / hashlib.sha256(fingerprint.encode()).hexdigest()[:32]


def drop_others(store: Path, folder: Path) -> None:
    """Remove the states of other fingerprints: a store holds one at a time."""
    for other in store.iterdir() if store.exists() else ():
        if other != folder:
            shutil.rmtree(other)


def opened(store: Path, fingerprint: str) -> Path:
    """The folder of a fingerprint, made where it is missing; those of others are removed."""
    folder = folder_of(store, fingerprint)
    drop_others(store, folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
