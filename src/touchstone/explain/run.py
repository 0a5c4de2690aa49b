"""Trace a run's predictions back to pixels: choose test images and classes, attribute by every method, and check."""

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
from touchstone.data.batches import to_float
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
    """Probability of the class, the mean over the seeds."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The attributions of a run's predictions on some test images."""

    sheet: Image.Image
    """The maps of every image and method."""
    images: pd.DataFrame
    """One row per image: the logit of its class on it and on the plain image, and each method's `<method>_delta`."""
    sanity: pd.DataFrame
    """method, layers, likeness (see sanity.py); another_seed, the likeness to the maps of the second seed's net, NaN
    without one."""
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
    if settings.files:
        rows = [_row(name, files) for name in settings.files]
        return [Choice(row, int(best[row]), float(mean[row, best[row]])) for row in rows]
    priority = mean[np.arange(len(mean)), best]  # (N,)
    if labels.ndim == 2 and settings.choose == "worst":
        errors = np.nan_to_num(np.abs(mean - labels))  # (N, K); labels that do not count are no errors
        best, priority = errors.argmax(1), errors.max(1)
    elif settings.choose == "worst":
        priority = np.where(best == labels, -1.0, priority)
    order = np.argsort(-priority, kind="stable")[: settings.images]
    return [Choice(int(row), int(best[row]), float(mean[row, best[row]])) for row in order if priority[row] >= 0]


def _row(name: str, files: list[str]) -> int:
    if name not in files:
        raise TouchstoneError(
            f"params.yaml: explain.files: got {name!r}, which is no test image of data/prepared/files.csv"
            f"{nearest(name, files)}"
        )
    return files.index(name)


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
    """Attribute the chosen predictions (see `choose`) of a run's first seed to pixels by every method, and check the
    methods by randomised weights and by the net of the second seed.

    With five crops, the crop with the highest logit of the class is explained. Where there is nothing to explain, as in
    a run without errors, the tables are empty.
    """
    chosen = choose(probs, labels, files, settings=settings)
    if not chosen:
        return _nothing(settings)
    predictor = predictors[0]
    net = predictor.eval().net
    targets = torch.tensor([choice.target for choice in chosen], device=predictor.mean.device)
    pixels = _net_input(
        predictor, test.take([choice.row for choice in chosen]), metadata, targets
    )  # uint8 (B, S, S, C)
    x = _normalised(predictor, pixels)
    rows = spread(train.table["label"].tolist(), NUM_TRAINING)
    training = _normalised(predictor, _net_input(predictor, train.take(rows), metadata, None))

    def attributed(net: nn.Module, settings: Explain) -> dict[str, Attribution]:
        own_seed = derive(seed, "attributions")
        return attribute(net, x, targets, training_images=training, settings=settings, seed=own_seed)

    def quick_maps(net: nn.Module) -> dict[str, np.ndarray]:
        """Maps without a bound on their deltas, since only the ranks of their pixels are compared."""
        quick = settings.model_copy(update={"tolerance": math.inf})
        return {method: attribution.maps for method, attribution in attributed(net, quick).items()}

    attributions = attributed(net, settings)
    maps = {method: attribution.maps for method, attribution in attributions.items()}
    randomised_nets = _randomised(net, metadata, x, stages=settings.randomised, seed=seed)
    checks = pd.DataFrame(sanity(maps, quick_maps, randomised_nets))
    second_maps = quick_maps(predictors[1].eval().net) if len(predictors) > 1 else {}
    second_likeness = {method: likeness(maps[method], second) for method, second in second_maps.items()}
    checks["another_seed"] = checks["method"].map(second_likeness).astype(float)
    images = (
        _choices(chosen, files, test, metadata).join(_logits(net, x, targets)).join(_deltas(attributions)).round(DIGITS)
    )
    return Explanation(drawn(pixels.numpy(), maps, images), images, checks.round(DIGITS), maps)


def _choices(chosen: list[Choice], files: list[str], test: ImageSet, metadata: RunMetadata) -> pd.DataFrame:
    """file, true, explained, probability: one row per choice."""
    return pd.DataFrame(
        {
            "file": [files[choice.row] for choice in chosen],
            "true": [test.table["label"].iloc[choice.row] for choice in chosen],
            "explained": [metadata.classes[choice.target] for choice in chosen],
            "probability": [choice.score for choice in chosen],
        }
    )


def _logits(net: nn.Module, x: torch.Tensor, targets: torch.Tensor) -> pd.DataFrame:
    """The logit of each image's class, on the image (logit) and on the plain image (plain_logit)."""
    with torch.no_grad():
        logits = [net(inputs).gather(1, targets[:, None])[:, 0].cpu().numpy() for inputs in (x, torch.zeros_like(x))]
    return pd.DataFrame(dict(zip(("logit", "plain_logit"), logits, strict=True)))


def _deltas(attributions: dict[str, Attribution]) -> pd.DataFrame:
    """`<method>_delta` of every method that has one."""
    deltas = {method: attribution.delta for method, attribution in attributions.items()}
    return pd.DataFrame({f"{method}_delta": delta for method, delta in deltas.items() if not np.isnan(delta).all()})


def _nothing(settings: Explain) -> Explanation:
    maps: dict[str, np.ndarray] = {method: np.zeros((0, 0, 0), np.float32) for method in settings.methods}
    images = pd.DataFrame(columns=["file", "true", "explained", "probability", "logit", "plain_logit"])
    sanity = pd.DataFrame(columns=["method", "layers", "likeness", "another_seed"])
    return Explanation(table([], ["nothing to explain"], []), images, sanity, maps)


def drawn(pixels: np.ndarray, maps: dict[str, np.ndarray], images: pd.DataFrame) -> Image.Image:
    """Draw one row per image, uint8 (B, S, S, C): the image, then the map (B, S, S) of each method over it."""
    rows = [
        [thumbnail(image, SIDE), *(signed(image, values[i]) for values in maps.values())]
        for i, image in enumerate(pixels)
    ]
    captions = [
        f"{row['file']}: {row['explained']}, probability {row['probability']:.3f}; true: {row['true'] or 'none'}"
        for row in images.to_dict("records")
    ]
    return table(rows, ["image", *(name.replace("_", " ") for name in maps)], captions)


def _net_input(
    predictor: Predictor, images: ImageSet, metadata: RunMetadata, targets: torch.Tensor | None
) -> torch.Tensor:
    """uint8 (B, S, S, C), what the net is given of each image.

    Of five crops this is the one with the highest logit of the target class or, without targets, the centre.
    """
    pixels = torch.cat(list(batches(images, metadata.view)))
    if not metadata.crop_size:
        return pixels
    if targets is None:
        return pixels[:, -1]
    with torch.no_grad():
        logits = predictor.net(_normalised(predictor, pixels)).unflatten(0, (-1, crops.FIVE))  # (B, 5, K)
    best = logits.gather(2, targets[:, None, None].expand(-1, crops.FIVE, 1))[..., 0].argmax(1).cpu()
    return pixels[torch.arange(len(pixels)), best]


def _normalised(predictor: Predictor, pixels: torch.Tensor) -> torch.Tensor:
    return to_float(pixels.to(predictor.mean.device), predictor.mean, predictor.std)


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
