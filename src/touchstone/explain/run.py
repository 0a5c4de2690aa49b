"""Attributions of a run's predictions to pixels: which images and classes, the maps by every method, and checks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from touchstone.config.schema.explain import Explain
from touchstone.data.imageset import ImageSet
from touchstone.data.ops import crops
from touchstone.data.sheets import spread, thumbnail
from touchstone.errors import TouchstoneError, nearest
from touchstone.explain.attributions import Attribution, attribute
from touchstone.explain.overlays import SIDE, signed, table
from touchstone.explain.sanity import cascade, likeness, sanity
from touchstone.models.predict import batches
from touchstone.models.runs import Predictor, RunMetadata
from touchstone.seeds import derive

NUM_TRAINING = 32  # training images that GradientShap starts from
DIGITS = 5  # decimals in the tables


@dataclass(frozen=True)
class Choice:
    """A test image, and the class whose logit is attributed to its pixels."""

    row: int
    """Row of the test split."""
    target: int
    """Index of the class."""
    score: float
    """Probability of the class, the mean over the replicates."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The attributions of a run's predictions on some test images."""

    sheet: Image.Image
    """The maps of every image and method."""
    images: pd.DataFrame
    """One row per image: the logit of its class on it and on the plain image, and each method's `<method>_delta`."""
    sanity: pd.DataFrame
    """method, layers, likeness (see sanity.py); another_seed, the likeness to the second seed's maps, or NaN."""
    maps: dict[str, np.ndarray]
    """method -> float32 (B, S, S)."""

    def save(self, folder: Path) -> None:
        """Write sheet.png, images.csv, sanity.csv and <method>.npy into a new folder."""
        folder.mkdir(parents=True)
        self.sheet.save(folder / "sheet.png")
        self.images.to_csv(folder / "images.csv", index=False)
        self.sanity.to_csv(folder / "sanity.csv", index=False)
        for method, values in self.maps.items():
            np.save(folder / f"{method}.npy", values)


def choose(probs: np.ndarray, labels: np.ndarray, files: list[str], *, settings: Explain) -> list[Choice]:
    """Choose images and classes as `settings` say: Probs (seeds, N, K), labels (N,) or (N, K), the names of all N.

    Images given by name are explained for their most probable class. The worst are wrong predictions, most confident
    first, or, with several labels per image, the probabilities farthest from their labels. Raises TouchstoneError on an
    unknown name.
    """
    mean = probs.mean(0, dtype=np.float64)  # (N, K)
    best = mean.argmax(1)
    for name in settings.files:
        if name not in files:
            raise TouchstoneError(
                f"params.yaml: explain.files: got {name!r}, which is no test image of data/prepared/files.csv"
                f"{nearest(name, files)}"
            )
    if settings.files:
        rows = [files.index(name) for name in settings.files]
    else:
        priority = mean[np.arange(len(mean)), best]  # (N,)
        if labels.ndim == 2 and settings.choose == "worst":
            errors = np.nan_to_num(np.abs(mean - labels))  # (N, K); labels that do not count are no errors
            best, priority = errors.argmax(1), errors.max(1)
        elif settings.choose == "worst":
            priority = np.where(best == labels, -1.0, priority)
        order = np.argsort(-priority, kind="stable")[: settings.images]
        rows = [int(row) for row in order if priority[row] >= 0]
    return [Choice(row, int(best[row]), float(mean[row, best[row]])) for row in rows]


def explain(
    predictors: list[Predictor],
    metadata: RunMetadata,
    probs: np.ndarray,
    labels: np.ndarray,
    *,
    test: ImageSet,
    train: ImageSet,
    files: list[str],
    settings: Explain,
    seed: int,
) -> Explanation:
    """Attribute the predictions of a run's first seed that `choose` selects to pixels, by every method.

    The methods are checked by randomised weights and by the net of the second seed. With five crops, the crop with the
    highest logit of the class is explained. Where nothing is selected, the tables are empty.
    """
    chosen = choose(probs, labels, files, settings=settings)
    if not chosen:
        return _nothing(settings)
    predictor, rows = predictors[0].eval(), [choice.row for choice in chosen]
    targets = torch.tensor([choice.target for choice in chosen], device=predictor.mean.device)
    pixels = _net_input(predictor, test.take(rows), targets)  # uint8 (B, S, S, C)
    x = predictor.normalised(pixels)
    some = _net_input(predictor, train.take(spread(train.table["label"].tolist(), NUM_TRAINING)), None)

    def attributed(net: nn.Module, settings: Explain, behind: Predictor) -> dict[str, Attribution]:
        """Return the maps of a net behind the normalisation of a seed."""
        own_seed, training = derive(seed, "attributions"), behind.normalised(some)
        images = behind.normalised(pixels)
        return attribute(net, images, targets, training_images=training, settings=settings, seed=own_seed)

    def quick_maps(net: nn.Module, behind: Predictor = predictor) -> dict[str, np.ndarray]:
        """Return maps without a bound on their deltas, since only the ranks of their pixels are compared."""
        quick = settings.model_copy(update={"tolerance": math.inf})
        return {method: attribution.maps for method, attribution in attributed(net, quick, behind).items()}

    attributions = attributed(predictor.net, settings, predictor)
    maps = {method: attribution.maps for method, attribution in attributions.items()}
    randomised_nets = _randomised(predictor.net, metadata, x, stages=settings.randomised, seed=seed)
    checks = pd.DataFrame(sanity(maps, quick_maps, randomised_nets))
    second_maps = quick_maps(predictors[1].eval().net, predictors[1]) if len(predictors) > 1 else {}
    second_likeness = {method: likeness(maps[method], second) for method, second in second_maps.items()}
    checks["another_seed"] = checks["method"].map(second_likeness).astype(float)
    deltas = {f"{method}_delta": attribution.delta for method, attribution in attributions.items()}
    images = pd.DataFrame(
        {
            "file": [files[row] for row in rows],
            "true": test.table["label"].iloc[rows].tolist(),
            "explained": [metadata.classes[choice.target] for choice in chosen],
            "probability": [choice.score for choice in chosen],
            "logit": _logits(predictor.net, x, targets),
            "plain_logit": _logits(predictor.net, torch.zeros_like(x), targets),
            **{name: delta for name, delta in deltas.items() if not np.isnan(delta).all()},
        }
    ).round(DIGITS)
    return Explanation(drawn(pixels.numpy(), maps, images), images, checks.round(DIGITS), maps)


@torch.no_grad()
def _logits(net: nn.Module, x: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """Return the logit (B,) of each image's class."""
    return net(x).gather(1, targets[:, None])[:, 0].cpu().numpy()


def _nothing(settings: Explain) -> Explanation:
    maps: dict[str, np.ndarray] = {method: np.zeros((0, 0, 0), np.float32) for method in settings.methods}
    images = pd.DataFrame(columns=["file", "true", "explained", "probability", "logit", "plain_logit"])
    sanity = pd.DataFrame(columns=["method", "layers", "likeness", "another_seed"])
    return Explanation(table([], ["nothing to explain"], []), images, sanity, maps)


def drawn(pixels: np.ndarray, maps: dict[str, np.ndarray], images: pd.DataFrame) -> Image.Image:
    """Draw one row per image, uint8 (B, S, S, C): the image, then the map (B, S, S) of each method over it."""
    images_and_maps = zip(pixels, *maps.values(), strict=True)
    rows = [[thumbnail(image, SIDE), *(signed(image, values) for values in own)] for image, *own in images_and_maps]
    captions = [
        f"{row['file']}: {row['explained']}, probability {row['probability']:.3f}; true: {row['true'] or 'none'}"
        for row in images.to_dict("records")
    ]
    return table(rows, ["image", *(name.replace("_", " ") for name in maps)], captions)


def _net_input(predictor: Predictor, images: ImageSet, targets: torch.Tensor | None) -> torch.Tensor:
    """Return the net's inputs, uint8 (B, S, S, C).

    With five crops, this is the crop with the highest logit of the target class or, without targets, the centre.
    """
    pixels = torch.cat(list(batches(images, predictor.view)))
    if not predictor.view.crop_px:
        return pixels
    if targets is None:
        return pixels[:, -1]
    with torch.no_grad():
        logits = predictor.net(predictor.normalised(pixels)).unflatten(0, (-1, crops.FIVE))  # (B, 5, K)
    best = logits.gather(2, targets[:, None, None].expand(-1, crops.FIVE, 1))[..., 0].argmax(1).cpu()
    return pixels[torch.arange(len(pixels)), best]


def _randomised(
    net: nn.Module, metadata: RunMetadata, x: torch.Tensor, *, stages: int, seed: int
) -> Iterator[tuple[int, nn.Module]]:
    """Yield the net with more and more layers untrained, from the last one on; nothing without stages."""
    if not stages:
        return
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "untrained"))
        untrained = metadata.untrained()
    yield from cascade(net, untrained.to(x.device), x[:1], stages=stages)
