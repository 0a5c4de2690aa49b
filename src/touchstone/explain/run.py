"""Attributions of a run's predictions to pixels: which images and classes, the maps by every method, and checks."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from touchstone.config.schema.explain import OWN_PICTURE, Explain
from touchstone.data.as_prepared import stacked
from touchstone.data.imageset import ImageSet
from touchstone.data.levels import limits
from touchstone.data.ops import crops
from touchstone.data.sheets import spread, thumbnail
from touchstone.errors import TouchstoneError, nearest
from touchstone.evaluation.ensembles import replicate_mean
from touchstone.explain.attributions import Attribution, attribute
from touchstone.explain.cost import Extent, extent
from touchstone.explain.overlays import SIDE, scale, signed, table
from touchstone.explain.pictures import Pictures
from touchstone.explain.sanity import cascade, likeness, sanity
from touchstone.models.predict import batches, blocks
from touchstone.models.predict_images import predict_images
from touchstone.models.runs import Predictor, RunMetadata
from touchstone.seeds import derive

NUM_TRAINING = 32  # training images that GradientShap starts from
DIGITS = 5  # decimals in the tables


@dataclass(frozen=True)
class Choice:
    """A test image or a picture of one's own, and the class whose logit is attributed to its pixels."""

    row: int
    """Row of the test split, or of the pictures."""
    target: int
    """Index of the class."""
    score: float
    """Probability of the class, the mean over the replicates."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The attributions of a run's predictions on some test images and pictures of one's own."""

    sheet: Image.Image
    """The maps of every image and method."""
    images: pd.DataFrame
    """One row per image: the logit of its class on it and on the plain image, and each method's `<method>_delta`.

    Where there are pictures of one's own, which come last, `own` is yes for them and "" for test images."""
    sanity: pd.DataFrame
    """method, layers, likeness (see sanity.py); another_seed, the likeness to the second seed's maps, or NaN."""
    maps: dict[str, np.ndarray]
    """method -> float32 (B, S, S)."""
    tiles: np.ndarray
    """uint8 (B, 1 + methods, SIDE, SIDE, 3): each image, then the map of each method over it."""
    scales: dict[str, float]
    """method -> the value that its maps draw in full colour."""
    extent: Extent
    """The amount that was computed, which is less for costly nets."""

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


def choose(
    probs: np.ndarray, labels: np.ndarray, files: list[str], *, settings: Explain, classes: list[str]
) -> list[Choice]:
    """Choose images and classes as `settings` say: Probs (seeds, N, K), labels (N,) or (N, K), the names of all N.

    Images given by name are explained for their most probable class. The worst are wrong predictions, most confident
    first, or, with several labels per image, the probabilities farthest from their labels. `settings.classes` takes
    turns: the first image of each class, then the second of each. classes: the names of all K. Raises TouchstoneError
    on an unknown name.
    """
    mean = replicate_mean(probs)
    best = mean.argmax(1)
    for name in settings.files:
        if name not in files:
            raise TouchstoneError(
                f"params.yaml: explain.files: got {name!r}, which is no test image of data/prepared/files.csv"
                f"{nearest(name, files)}"
            )
    for name in settings.classes:
        if name not in classes:
            raise TouchstoneError(
                f"params.yaml: explain.classes: got {name!r}, expected some of {', '.join(classes)}"
                f"{nearest(name, classes)}"
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
        order = [int(row) for row in np.argsort(-priority, kind="stable") if priority[row] >= 0]
        if settings.classes:
            order = _in_turns(order, labels, [classes.index(name) for name in settings.classes])
        rows = order[: settings.images]
    return [Choice(row, int(best[row]), float(mean[row, best[row]])) for row in rows]


def _in_turns(order: list[int], labels: np.ndarray, classes: list[int]) -> list[int]:
    """Return the rows of some classes: the first in `order` of each class, then the second of each. labels: true."""
    shows = {k: (labels == k if labels.ndim == 1 else labels[:, k] == 1) for k in classes}
    turns = zip_longest(*([row for row in order if shows[k][row]] for k in classes))
    return list(dict.fromkeys(row for turn in turns for row in turn if row is not None))


def predicted(metadata: RunMetadata, predictors: list[Predictor], pictures: Pictures) -> list[Choice]:
    """Return for each picture the class that the mean over the run's seeds finds most probable."""
    mean = predict_images(metadata, predictors, pictures.images).mean(0, dtype=np.float64)  # (B, K)
    return [Choice(row, int(probs.argmax()), float(probs.max())) for row, probs in enumerate(mean)]


@torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)  # the same gradients on a GPU each time
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
    pictures: Pictures | None = None,
) -> Explanation:
    """Attribute the predictions of a run's first seed that `choose` selects to pixels, by every method.

    Those on `pictures` of one's own follow, each for the class that the mean over the seeds predicts. The methods are
    checked by randomised weights and by the net of the second seed. With five crops, the crop with the highest logit of
    the class is explained. Where there is nothing to explain, the tables are empty. title: of the progress bar.
    """
    chosen = choose(probs, labels, files, settings=settings, classes=metadata.classes)
    own = predicted(metadata, predictors, pictures) if pictures else []
    if not chosen and not own:
        return _nothing(settings)
    predictor = predictors[0].eval()
    plain = predictor.view.plain
    example = _net_input(predictor, batches(test.take([0]), plain), None)
    extends = extent(predictor.net, predictor.normalised(example), len(chosen), settings, num_own=len(own))
    chosen, checked = chosen[: extends.images - len(own)], slice(extends.checked)
    settings = settings.model_copy(update={"doublings": extends.doublings})
    rows, both = [choice.row for choice in chosen], [*chosen, *own]
    targets = torch.tensor([choice.target for choice in both]).to(predictor.mean.device)
    seen = batches(test.take(rows), plain)
    if pictures:
        seen = chain(seen, blocks(*stacked(pictures.images, metadata.resize), plain))
    pixels = _net_input(predictor, seen, targets)  # (B, S, S, C)
    x = predictor.normalised(pixels)
    training = train.take(spread(train.table["label"].tolist(), NUM_TRAINING))
    some = _net_input(predictor, batches(training, plain), None)
    others = extends.stages + (len(predictors) > 1)  # nets whose maps are compared, at most
    total = len(settings.methods) * (len(both) + others * extends.checked)
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
    checks = _checks(first, quick_maps, randomised_nets, second=predictors[1].eval() if len(predictors) > 1 else None)
    progress.close()
    deltas = {f"{method}_delta": attribution.delta for method, attribution in attributions.items()}
    images = pd.DataFrame(
        {
            **_facts(rows, files, test, pictures),
            "explained": [metadata.classes[choice.target] for choice in both],
            "probability": [choice.score for choice in both],
            "logit": _logits(predictor.net, x, targets),
            "plain_logit": _logits(predictor.net, torch.zeros_like(x), targets),
            **{name: delta for name, delta in deltas.items() if not np.isnan(delta).all()},
        }
    ).round(DIGITS)
    scales = {method: scale(own) for method, own in maps.items()}
    tiles = drawn(pixels.numpy(), maps, scales)
    drawing = sheet(tiles, list(maps), images)
    return Explanation(drawing, images, checks, maps, tiles, _rounded(scales), extends)


def _checks(
    maps: dict[str, np.ndarray],
    quick_maps: Callable[..., dict[str, np.ndarray]],
    randomised_nets: Iterator[tuple[int, nn.Module]],
    *,
    second: Predictor | None,
) -> pd.DataFrame:
    """Return how like its maps each method draws those of randomised nets and, if there is one, of a second seed."""
    checks = pd.DataFrame(sanity(maps, quick_maps, randomised_nets))
    others = quick_maps(second.net, second) if second is not None else {}
    second_likeness = {method: likeness(maps[method], other) for method, other in others.items()}
    checks["another_seed"] = checks["method"].map(second_likeness).astype(float)
    return checks.round(DIGITS)


def _facts(rows: list[int], files: list[str], test: ImageSet, pictures: Pictures | None) -> dict[str, Sequence[str]]:
    """Return the columns that say what the images are: file, true and, where there are pictures, own."""
    names, true = [files[row] for row in rows], test.table["label"].iloc[rows].tolist()
    if pictures is None:
        return {"file": names, "true": true}
    number = len(pictures.files)
    own = [""] * len(rows) + ["yes"] * number
    return {"file": [*names, *pictures.files], "true": [*true, *[""] * number], "own": own}


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
        f"{row['file']}: {row['explained']}, probability {row['probability']:.3f}; "
        + (OWN_PICTURE if row.get("own") else f"true: {row['true'] or 'none'}")
        for row in images.to_dict("records")
    ]
    rows = [[Image.fromarray(tile) for tile in row] for row in tiles]
    return table(rows, ["image", *(name.replace("_", " ") for name in methods)], captions)


def _net_input(predictor: Predictor, seen: Iterable[torch.Tensor], targets: torch.Tensor | None) -> torch.Tensor:
    """Return the net's inputs, pixels (B, S, S, C): whole images, also where predictions average several squares.

    With five crops, this is the crop with the highest logit of the target class or, without targets, the centre.
    seen: batches of images as the plain view of the net shows them.
    """
    pixels = torch.cat(list(seen))
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
