"""Predicting a folder of images with a trained run or ensemble: the pipeline's own decoding, resizing and nets."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from touchstone.decode import decode, image_suffixes
from touchstone.ensembles import combine, decider, sound
from touchstone.errors import BadImage, TouchstoneError, nearest
from touchstone.params import Params
from touchstone.predict import BATCH, device
from touchstone.probs import predictions
from touchstone.resize import centre_square, resize
from touchstone.runs import Card, Predictor, load_card, load_nets


@dataclass(frozen=True)
class Decider:
    """Runs and the rule that joins them: members maps a run's name to its card and the nets of its seeds."""

    members: dict[str, tuple[Card, list[Predictor]]]
    rule: str
    prefer: str

    @property
    def classes(self) -> list[str]:
        return next(iter(self.members.values()))[0].classes

    def decide(self, images: list[np.ndarray]) -> np.ndarray:
        """Prepared squares, each uint8 (S, S, C) -> float32 (seeds, B, classes)."""
        probs = {name: _probs(card, nets, images) for name, (card, nets) in self.members.items()}
        if not self.rule:  # a run
            return next(iter(probs.values()))
        return combine(self.rule, probs, prefer=self.prefer)


def load_decider(name: str, *, params: Params, runs: Path) -> Decider:
    """The run or ensemble `name`; raises TouchstoneError where params declare neither or its weights are missing."""
    known = [*params.ensembles, *params.runs]
    if name not in known:
        raise TouchstoneError(f"--model: got {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")
    ensemble = params.ensembles.get(name)
    names = list(ensemble.members) if ensemble else [name]
    where = device(params.machine.accelerator)
    cards = {member: load_card(runs / member) for member in names}
    chosen = sound(names, [member for member, card in cards.items() if card.diverged])
    members = {m: (cards[m], load_nets(runs / m, cards[m], device=where)) for m in chosen}
    return Decider(members, ensemble.rule if ensemble else "", decider(chosen, ensemble.prefer if ensemble else ""))


def predict_folder(folder: Path, decider: Decider) -> tuple[pd.DataFrame, dict[str, str]]:
    """file, label, probability of every image below `folder`, in file order; and file -> reason of the unreadable ones.

    Raises TouchstoneError where the folder is missing or holds no image.
    """
    files = _files(folder)
    bad: dict[str, str] = {}
    names: list[str] = []
    probs: list[np.ndarray] = []
    with tqdm(total=len(files), desc="predict", unit="img", disable=None) as bar:
        for block in (files[start : start + BATCH] for start in range(0, len(files), BATCH)):
            images = dict(_decoded(folder, block, decider, bad))
            if images:
                names += images
                probs.append(decider.decide(list(images.values())))
            bar.update(len(block))
    if not probs:
        raise TouchstoneError(
            f"{folder}: none of its {len(files)} images can be read; the first: {next(iter(bad.items()))}"
        )
    return predictions(np.concatenate(probs, 1), names, decider.classes), bad


def _files(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise TouchstoneError(f"{folder}: no such folder; give a folder of images")
    every = (path for path in folder.rglob("*") if path.suffix.lower() in image_suffixes() and path.is_file())
    files = sorted(path.relative_to(folder).as_posix() for path in every)
    if not files:
        raise TouchstoneError(f"{folder}: no images in it; give a folder of images such as .png or .jpg")
    return files


def _decoded(folder: Path, files: list[str], decider: Decider, bad: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
    card = next(iter(decider.members.values()))[0]
    for name in files:
        try:
            with open(folder / name, "rb") as file:
                yield name, _square(decode(file, channels=card.channels, max_pixels=card.max_pixels), card)
        except (BadImage, OSError) as error:
            bad[name] = str(error)


def _probs(card: Card, nets: list[Predictor], images: list[np.ndarray]) -> np.ndarray:
    pixels = card.view.resized(np.stack(images))
    with torch.no_grad():
        where = next(nets[0].parameters()).device
        out = [torch.softmax(net.eval()(pixels.to(where)).float(), 1).cpu().numpy() for net in nets]
    return np.stack(out)


def _square(image: np.ndarray, card: Card) -> np.ndarray:
    out = resize(image, size_px=card.image_size, mode=card.resize)
    return centre_square(out) if card.resize == "shortest_edge" else out
