"""Attributions of a run's predictions to pixels: which images and classes, the maps by every method, and checks."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from touchstone.config.schema.explain import Explain
from touchstone.data.imageset import ImageSet
from touchstone.data.levels import limits
from touchstone.data.ops import crops
from touchstone.data.sheets import spread, thumbnail
from touchstone.errors import TouchstoneError, nearest
from touchstone.explain.attributions import Attribution, attribute
from touchstone.explain.cost import Extent, extent
from touchstone.explain.overlays import SIDE, scale, signed, table
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
    tiles: np.ndarray
    """uint8 (B, 1 + methods, SIDE, SIDE, 3): each image, then the map of each method over it."""
    scales: dict[str, float]
    """method -> the value that its maps draw in full colour."""
    extent: Extent
    """What was computed, which is less for costly nets."""

    def save(self, folder: Path) -> None:
        """Write {images,sanity}.csv, {scales,extent}.json, sheet.png, tiles.npy and <method>.npy into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.sheet.save(folder / "sheet.png")
        self.images.to_csv(folder / "images.csv", index=False)
        self.sanity.to_csv(folder / "sanity.csv", index=False)
        np.save(folder / "tiles.npy", self.tiles)
        for name, values in (("scales", self.scales), ("extent", asdict(self.extent))):
            (folder / f"{name}.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        for method, own in self.maps.items():
            np.save(folder / f"{method}.npy", own)


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
    title: str = "",
) -> Explanation:
    """Attribute the predictions of a run's first seed that `choose` selects to pixels, by every method.

    The methods are checked by randomised weights and by the net of the second seed. With five crops, the crop with the
    highest logit of the class is explained. Where nothing is selected, the tables are empty. title: of the progress
    bar.
    """
    chosen = choose(probs, labels, files, settings=settings)
    if not chosen:
        return _nothing(settings)
    predictor = predictors[0].eval()
    example = _net_input(predictor, test.take([chosen[0].row]), None)
    extends = extent(predictor.net, predictor.normalised(example), len(chosen), settings)
    chosen, checked = chosen[: extends.images], slice(extends.checked)
    settings = settings.model_copy(update={"doublings": extends.doublings})
    rows, targets = [choice.row for choice in chosen], torch.tensor([choice.target for choice in chosen])
    targets = targets.to(predictor.mean.device)
    pixels = _net_input(predictor, test.take(rows), targets)  # (B, S, S, C)
    x = predictor.normalised(pixels)
    some = _net_input(predictor, train.take(spread(train.table["label"].tolist(), NUM_TRAINING)), None)
    others = extends.stages + (len(predictors) > 1)  # nets whose maps are compared, at most
    total = len(settings.methods) * (len(rows) + others * extends.checked)
    progress = tqdm(total=total, unit="map", desc=title, disable=None)

    def attributed(net: nn.Module, settings: Explain, behind: Predictor, which: slice) -> dict[str, Attribution]:
        """Return the maps of some of the images by a net behind the normalisation of a seed."""
        own_seed, training = derive(seed, "attributions"), behind.normalised(some)
        given: Any = {"training_images": training, "settings": settings, "seed": own_seed, "on_map": progress.update}
        return attribute(net, behind.normalised(pixels[which]), targets[which], **given)

    def quick_maps(net: nn.Module, behind: Predictor = predictor) -> dict[str, np.ndarray]:
        """Return maps of the checked images by the fewest steps, since only the ranks of their pixels are compared."""
        quick = settings.model_copy(update={"doublings": 0})
        return {method: attribution.maps for method, attribution in attributed(net, quick, behind, checked).items()}

    attributions = attributed(predictor.net, settings, predictor, slice(None))
    maps = {method: attribution.maps for method, attribution in attributions.items()}
    first = {method: own[checked] for method, own in maps.items()}
    randomised_nets = _randomised(predictor.net, metadata, x, stages=extends.stages, seed=seed)
    checks = pd.DataFrame(sanity(first, quick_maps, randomised_nets))
    second_maps = quick_maps(predictors[1].eval().net, predictors[1]) if len(predictors) > 1 else {}
    second_likeness = {method: likeness(first[method], second) for method, second in second_maps.items()}
    checks["another_seed"] = checks["method"].map(second_likeness).astype(float)
    progress.close()
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
    scales = {method: scale(own) for method, own in maps.items()}
    tiles = drawn(pixels.numpy(), maps, scales)
    drawing = sheet(tiles, list(maps), images)
    return Explanation(drawing, images, checks.round(DIGITS), maps, tiles, _rounded(scales), extends)


def _rounded(scales: dict[str, float]) -> dict[str, float]:
    """Three significant digits, which machines agree on."""
    return {method: float(f"{value:.3g}") for method, value in scales.items()}


@torch.no_grad()
def _logits(net: nn.Module, x: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """Return the logit (B,) of each image's class."""
    return net(x).gather(1, targets[:, None])[:, 0].cpu().numpy()


def _nothing(settings: Explain) -> Explanation:
    maps: dict[str, np.ndarray] = {method: np.zeros((0, 0, 0), np.float32) for method in settings.methods}
    images = pd.DataFrame(columns=["file", "true", "explained", "probability", "logit", "plain_logit"])
    sanity = pd.DataFrame(columns=["method", "layers", "likeness", "another_seed"])
    tiles = np.zeros((0, 1 + len(maps), SIDE, SIDE, 3), np.uint8)
    return Explanation(table([], ["nothing to explain"], []), images, sanity, maps, tiles, {}, Extent(0, 0, 0, 0, 0))


def drawn(pixels: np.ndarray, maps: dict[str, np.ndarray], scales: dict[str, float]) -> np.ndarray:
    """Draw each image, pixels (B, S, S, C), then the map (B, S, S) of each method over it, to the scale of the method.

    Return uint8 (B, 1 + methods, SIDE, SIDE, 3).
    """
    between = limits(list(pixels))
    rows = [
        [
            thumbnail(image, SIDE, between=between),
            *(signed(image, maps[method][i], scales[method], between=between) for method in maps),
        ]
        for i, image in enumerate(pixels)
    ]
    return np.stack([np.stack([np.asarray(tile) for tile in row]) for row in rows])


def sheet(tiles: np.ndarray, methods: list[str], images: pd.DataFrame) -> Image.Image:
    """Draw one row per image, from the tiles of `drawn`, with captions."""
    captions = [
        f"{row['file']}: {row['explained']}, probability {row['probability']:.3f}; true: {row['true'] or 'none'}"
        for row in images.to_dict("records")
    ]
    rows = [[Image.fromarray(tile) for tile in row] for row in tiles]
    return table(rows, ["image", *(name.replace("_", " ") for name in methods)], captions)


def _net_input(predictor: Predictor, images: ImageSet, targets: torch.Tensor | None) -> torch.Tensor:
    """Return the net's inputs, pixels (B, S, S, C).

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
