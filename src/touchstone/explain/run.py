"""A run's answers traced back to pixels: which test images, for which class, and what every method says."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from touchstone.config.sections import Explain
from touchstone.data.batches import to_float
from touchstone.data.imageset import ImageSet
from touchstone.data.ops import crops
from touchstone.data.sheets import spread, thumbnail
from touchstone.errors import TouchstoneError, nearest
from touchstone.explain.attributions import Attributed, attribute
from touchstone.explain.overlays import SIDE, signed, table
from touchstone.explain.sanity import cascade, likeness, sanity
from touchstone.models.predict import batches
from touchstone.models.runs import Card, Predictor
from touchstone.seeds import derive

KNOWN = 32  # training images that GradientShap starts from
DIGITS = 5


@dataclass(frozen=True)
class Choice:
    """A test image and the class whose logit is attributed. score: its probability, the mean over the seeds."""

    row: int
    target: int
    score: float


@dataclass(frozen=True, eq=False)
class Explained:
    """sheet: the picture. images: a row an image, with the logit of its class and what the plain image has; deltas in
    `<method>_delta`. sanity: method, layers, likeness; another_seed, how like the maps of the second seed's
    net are, NaN without one. maps: method -> float32 (B, S, S)."""

    sheet: Image.Image
    images: pd.DataFrame
    sanity: pd.DataFrame
    maps: dict[str, np.ndarray]

    def save(self, folder: Path) -> None:
        """Write sheet.png, images.csv, sanity.csv and <method>.npy into a new folder."""
        folder.mkdir(parents=True)
        self.sheet.save(folder / "sheet.png")
        self.images.to_csv(folder / "images.csv", index=False)
        self.sanity.to_csv(folder / "sanity.csv", index=False)
        for method, values in self.maps.items():
            np.save(folder / f"{method}.npy", values)


def choose(probs: np.ndarray, labels: np.ndarray, files: list[str], *, settings: Explain) -> list[Choice]:
    """The images that `settings` ask for: Probs (seeds, N, K), labels (N,) or (N, K), the names of all N.

    By name: the class that is predicted, or the likeliest one. The surest errors are wrong predictions, most confident
    first; of several labels an image, those farthest from what is there. Raises TouchstoneError on an unknown name.
    """
    mean = probs.mean(0, dtype=np.float64)  # (N, K)
    best = mean.argmax(1)
    if settings.files:
        rows = [_row(name, files) for name in settings.files]
        return [Choice(row, int(best[row]), float(mean[row, best[row]])) for row in rows]
    sure = mean[np.arange(len(mean)), best]
    if labels.ndim == 2 and settings.choose == "worst":
        off = np.nan_to_num(np.abs(mean - labels))  # (N, K); what does not count is no error
        best, sure = off.argmax(1), off.max(1)
    elif settings.choose == "worst":
        sure = np.where(best == labels, -1.0, sure)
    order = np.argsort(-sure, kind="stable")[: settings.images]
    return [Choice(int(row), int(best[row]), float(mean[row, best[row]])) for row in order if sure[row] >= 0]


def _row(name: str, files: list[str]) -> int:
    if name not in files:
        raise TouchstoneError(
            f"params.yaml: explain.files: got {name!r}, which is no test image of data/prepared/files.csv"
            f"{nearest(name, files)}"
        )
    return files.index(name)


def explain(
    predictors: list[Predictor],
    card: Card,
    probs: np.ndarray,
    labels: np.ndarray,
    *,
    test: ImageSet,
    train: ImageSet,
    files: list[str],
    settings: Explain,
    seed: int,
) -> Explained:
    """Attribute the chosen answers (see `choose`) of the net of a run's first seed by every method, and check the
    methods by weights drawn anew, beside those of the second seed.

    Of five crops of an image the one counts that answers most strongly for the class. Where there is nothing to
    explain, as in a run without errors, the tables are empty.
    """
    chosen = choose(probs, labels, files, settings=settings)
    if not chosen:
        return _nothing(settings)
    predictor = predictors[0]
    net = predictor.eval().net
    targets = torch.tensor([choice.target for choice in chosen], device=predictor.mean.device)
    pixels = _seen(predictor, test.take([choice.row for choice in chosen]), card, targets)  # uint8 (B, S, S, C)
    x = _normalised(predictor, pixels)
    known = _seen(predictor, train.take(spread(train.table["label"].tolist(), KNOWN)), card, None)

    def again(net: nn.Module, settings: Explain = settings) -> dict[str, Attributed]:
        start = _normalised(predictor, known)
        return attribute(net, x, targets, known=start, settings=settings, seed=derive(seed, "attributions"))

    found = again(net)
    quick = settings.model_copy(update={"tolerance": math.inf})  # ranks of pixels want no sum to be right
    maps = {method: each.maps for method, each in found.items()}

    def quickly(net: nn.Module) -> dict[str, np.ndarray]:
        return {method: each.maps for method, each in again(net, quick).items()}

    checked = pd.DataFrame(sanity(maps, quickly, _drawn_anew(net, card, x, stages=settings.randomised, seed=seed)))
    others = quickly(predictors[1].eval().net) if len(predictors) > 1 else {}
    trained = {method: likeness(maps[method], other) for method, other in others.items()}
    checked["another_seed"] = checked["method"].map(trained).astype(float)
    named = pd.DataFrame(
        {
            "file": [files[choice.row] for choice in chosen],
            "true": [test.table["label"].iloc[choice.row] for choice in chosen],
            "explained": [card.classes[choice.target] for choice in chosen],
            "probability": [choice.score for choice in chosen],
        }
    )
    images = named.join(_logits(net, x, targets)).join(_deltas(found)).round(DIGITS)
    return Explained(drawn(pixels.numpy(), maps, images), images, checked.round(DIGITS), maps)


def _logits(net: nn.Module, x: torch.Tensor, targets: torch.Tensor) -> pd.DataFrame:
    """logit, plain_logit: of each image's class, on the image and on the plain one."""
    with torch.no_grad():
        found = [net(inputs).gather(1, targets[:, None])[:, 0].cpu().numpy() for inputs in (x, torch.zeros_like(x))]
    return pd.DataFrame(dict(zip(("logit", "plain_logit"), found, strict=True)))


def _deltas(found: dict[str, Attributed]) -> pd.DataFrame:
    """<method>_delta, of the methods whose sums say what they should be."""
    return pd.DataFrame(
        {f"{method}_delta": each.delta for method, each in found.items() if not np.isnan(each.delta).all()}
    )


def _nothing(settings: Explain) -> Explained:
    maps: dict[str, np.ndarray] = {method: np.zeros((0, 0, 0), np.float32) for method in settings.methods}
    images = pd.DataFrame(columns=["file", "true", "explained", "probability", "logit", "plain_logit"])
    sanity = pd.DataFrame(columns=["method", "layers", "likeness", "another_seed"])
    return Explained(table([], ["nothing to explain"], []), images, sanity, maps)


def drawn(pixels: np.ndarray, maps: dict[str, np.ndarray], images: pd.DataFrame) -> Image.Image:
    """A row an image, uint8 (B, S, S, C): itself, then what each method says, (B, S, S)."""
    rows = [
        [thumbnail(image, SIDE), *(signed(image, values[i]) for values in maps.values())]
        for i, image in enumerate(pixels)
    ]
    captions = [
        f"{row['file']}: {row['explained']}, probability {row['probability']:.3f}; true: {row['true'] or 'none'}"
        for row in images.to_dict("records")
    ]
    return table(rows, ["image", *(name.replace("_", " ") for name in maps)], captions)


def _seen(predictor: Predictor, images: ImageSet, card: Card, targets: torch.Tensor | None) -> torch.Tensor:
    """uint8 (B, S, S, C): what the net sees of each image; of five crops the one with the highest logit of its class,
    or, without classes, the centre."""
    pixels = torch.cat(list(batches(images, card.view)))
    if not card.crop_size:
        return pixels
    if targets is None:
        return pixels[:, -1]
    with torch.no_grad():
        logits = predictor.net(_normalised(predictor, pixels)).unflatten(0, (-1, crops.FIVE))  # (B, 5, K)
    best = logits.gather(2, targets[:, None, None].expand(-1, crops.FIVE, 1))[..., 0].argmax(1).cpu()
    return pixels[torch.arange(len(pixels)), best]


def _normalised(predictor: Predictor, pixels: torch.Tensor) -> torch.Tensor:
    return to_float(pixels.to(predictor.mean.device), predictor.mean, predictor.std)


def _drawn_anew(
    net: nn.Module, card: Card, x: torch.Tensor, *, stages: int, seed: int
) -> Iterator[tuple[int, nn.Module]]:
    """The net with the weights of an untrained one, from the last layer on; none without stages."""
    if not stages:
        return
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "untrained"))
        untrained = card.untrained()
    yield from cascade(net, untrained.to(x.device), x[:1], stages=stages)
