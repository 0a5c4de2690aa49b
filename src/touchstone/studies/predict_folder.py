"""Predicting a folder of images with a trained run or ensemble: the pipeline's own decoding, resizing and nets."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from touchstone.config.params import Params
from touchstone.data.decode import decode, image_suffixes
from touchstone.data.imageset import read_table
from touchstone.data.labels import encode
from touchstone.data.ops.resize import resize
from touchstone.errors import BadImage, TouchstoneError, nearest
from touchstone.evaluation.ensembles import combine, decider, sound
from touchstone.evaluation.probs import load_probs, load_weights, predictions
from touchstone.evaluation.thresholds import choose
from touchstone.models.predict import BATCH, blocks, device, logits, of_logits
from touchstone.models.runs import Card, Predictor, load_card, load_nets


@dataclass(frozen=True)
class Decider:
    """Runs and the rule that joins them: members maps a run's name to its card and the nets of its seeds.

    thresholds: where an image may have several labels, those of each member, and of the whole under "". weights: of the
    members, where the rule finds them.
    """

    members: dict[str, tuple[Card, list[Predictor]]]
    rule: str
    prefer: str
    thresholds: dict[str, np.ndarray] | None = None
    weights: dict[str, float] | None = None

    @property
    def classes(self) -> list[str]:
        return next(iter(self.members.values()))[0].classes

    def decide(self, images: list[np.ndarray]) -> np.ndarray:
        """Prepared images, each uint8 (h, w, C) -> float32 (seeds, B, classes)."""
        probs = {name: _probs(card, nets, images) for name, (card, nets) in self.members.items()}
        if not self.rule:  # a run
            return next(iter(probs.values()))
        found: dict[str, Any] = {"thresholds": self.thresholds, "weights": self.weights}
        return combine(self.rule, probs, prefer=self.prefer, **found)


def load_decider(name: str, *, params: Params, data: Path) -> Decider:
    """The run or ensemble `name`, from the folder of all stages' outputs.

    Raises TouchstoneError where params declare neither or its weights are missing.
    """
    known = [*params.ensembles, *params.runs]
    if name not in known:
        raise TouchstoneError(f"--model: got {name!r}, expected one of {', '.join(known)}{nearest(name, known)}")
    ensemble = params.ensembles.get(name)
    names = list(ensemble.members) if ensemble else [name]
    where = device(params.machine.accelerator)
    runs = data / "runs"
    cards = {member: load_card(runs / member) for member in names}
    chosen = sound(names, [member for member, card in cards.items() if card.diverged])
    members = {m: (cards[m], load_nets(runs / m, cards[m], device=where)) for m in chosen}
    rule, prefer = (ensemble.rule, ensemble.prefer) if ensemble else ("", "")
    thresholds = None
    if cards[chosen[0]].multi_label:
        labels = encode(read_table(data / "prepared/val"), {"classes": cards[chosen[0]].classes, "multi_label": True})
        of_members = load_probs(data / "probs", chosen, "val")
        votes = ensemble.thresholds if ensemble else params.compare.thresholds
        thresholds = {member: choose(probs, labels, rule=votes) for member, probs in of_members.items()}
        [whole] = load_probs(data / ("ensembles" if ensemble else "probs"), [name], "val").values()
        thresholds[""] = choose(whole, labels, rule=params.thresholds(name))
    weights = load_weights(data / "ensembles" / name) if ensemble and ensemble.finds_weights else None
    return Decider(members, rule, decider(chosen, prefer), thresholds, weights)


def predict_folder(folder: Path, decider: Decider) -> tuple[pd.DataFrame, dict[str, str]]:
    """The `predictions` of every image below `folder`, in file order; and file -> reason of the unreadable ones.

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
    limits = None if decider.thresholds is None else decider.thresholds[""]
    return predictions(np.concatenate(probs, 1), names, decider.classes, limits), bad


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
                image = decode(file, channels=card.channels, max_pixels=card.max_pixels)
            yield name, resize(image, size_px=card.image_size, mode=card.resize)
        except (BadImage, OSError) as error:
            bad[name] = str(error)


def _probs(card: Card, nets: list[Predictor], images: list[np.ndarray]) -> np.ndarray:
    padded, sizes = _stored(images)
    shown = list(blocks(padded, sizes if card.resize == "shortest_edge" else None, card.view))
    return np.stack([of_logits(logits(net, shown), multi_label=card.multi_label) for net in nets])


def _stored(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """As preparation stores them: uint8 (B, H, W, C), each image at the top left, and their sizes (B, 2)."""
    sizes = np.array([image.shape[:2] for image in images])
    out = np.zeros((len(images), *sizes.max(0), images[0].shape[2]), np.uint8)
    for row, image in zip(out, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return out, sizes
