"""The facts of a report: plain, frozen values that both products are written from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.params import Params


@dataclass(frozen=True, eq=False)
class Neighbour:
    """The training image nearest to a test image in the features of the audit's encoder. row: of the training split."""

    row: int
    file: str
    label: str
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Mistake:
    """A test image that the mean over the seeds gets wrong, and how sure it was.

    row: of the test split. probability: mean of the predicted class. pixels: uint8 (h, w, C), without padding.
    """

    row: int
    file: str
    true: str
    predicted: str
    probability: float
    pixels: np.ndarray
    nearest: Neighbour | None = None


@dataclass(frozen=True, eq=False)
class Shown:
    """A test image and a class's score on it. there: whether the image has the class. pixels: uint8 (h, w, C)."""

    row: int
    file: str
    score: float
    there: bool
    pixels: np.ndarray


@dataclass(frozen=True)
class Ranked:
    """A class and the test images with its highest scores, best first, and its lowest, lowest first."""

    name: str
    top: tuple[Shown, ...]
    bottom: tuple[Shown, ...]


@dataclass(frozen=True, eq=False)
class Several:
    """What there is of a run where images may have several labels.

    classes: a row a class, see `label_scores.per_class`. curves: class, recall, precision. ranked: a class each.
    """

    classes: pd.DataFrame
    curves: pd.DataFrame
    ranked: tuple[Ranked, ...]


@dataclass(frozen=True, eq=False)
class Scored:
    """A run or an ensemble with what was found about it.

    model, arm: "" for an ensemble. scores: its entry of metrics.json. confusion: int64 (classes, classes), rows true,
    columns predicted, counted over all seeds. mistakes: the worst ones, most confident first; num_wrong: how many
    there are in all. diverged: seed -> how its training ended before its time. reliability: confidence, accuracy,
    images, scaled (0 or 1). class_gains: gain, gain_low, gain_high, p_holm, verdict of each class, of an arm's run.
    several: where images may have several
    labels, in the place of confusion and mistakes, which are empty then.
    """

    name: str
    kind: str
    model: str
    arm: str
    scores: dict[str, float | str]
    confusion: np.ndarray
    mistakes: tuple[Mistake, ...]
    num_wrong: int
    diverged: dict[str, str]
    reliability: pd.DataFrame
    class_gains: pd.DataFrame | None = None
    several: Several | None = None

    @property
    def verdict(self) -> str:
        """helps, hurts, inconclusive, diverged, or "" where there is nothing to compare with."""
        return str(self.scores.get("verdict", ""))

    @property
    def word(self) -> str:
        """The verdict; diverged, too, where that befell what others are compared with."""
        return "diverged" if "diverged" in self.scores else self.verdict

    def value(self, key: str) -> float:
        """A number of metrics.json; NaN where it is not there."""
        return float(self.scores.get(key, np.nan))

    def class_accuracy(self) -> np.ndarray:
        """float64 (classes,), the confusion matrix's diagonal over its row sums; NaN without test images."""
        counts = self.confusion.sum(1)
        return np.divide(self.confusion.diagonal(), counts, out=np.full(len(counts), np.nan), where=counts > 0)


@dataclass(frozen=True)
class ArmSize:
    """How many training images an arm has, real and added."""

    name: str
    num_real: int
    num_added: int


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: the PNG's bytes, what it shows, and whether that is a split or an addition."""

    name: str
    caption: str
    kind: str
    png: bytes


@dataclass(frozen=True, eq=False)
class AuditedSet:
    """An addition set as the audit found it: its figures of metrics/audit.json, the PNG of its closest pairs."""

    name: str
    figures: dict[str, Any]
    gallery: bytes

    @property
    def verdict(self) -> str:
        """clean or copies."""
        return str(self.figures["verdict"])

    def value(self, key: str) -> float:
        """A figure; NaN where there were too few images to say."""
        found = self.figures.get(key)
        return np.nan if found is None else float(found)


@dataclass(frozen=True)
class Attention:
    """A run's attention over some test images: the PNG, the number of patches, the least and the largest share."""

    png: bytes
    patches: int
    least: float
    most: float


@dataclass(frozen=True, eq=False)
class Attributions:
    """Which pixels speak for a run's answers: the PNG, a row an image (see explained.py), method, layers, likeness."""

    png: bytes
    images: pd.DataFrame
    sanity: pd.DataFrame

    @property
    def holds(self) -> bool:
        """Whether methods were checked by weights drawn anew."""
        return bool((self.sanity["layers"] > 0).any())


@dataclass(frozen=True, eq=False)
class Facts:
    """Everything a report says.

    counts: class, train, val, test. findings: findings/summary.json. left_out, near_copies: tables of findings.
    curves: run -> step, epoch, train_loss, lr, val_loss, val_accuracy (val columns NaN without a validation split).
    unlabelled: ensemble -> file, label, probability. audits: an addition set each; encoder: whose features they are
    measured in. losses: generator -> step, loss and more. rates: model -> what the learning-rate finder suggests and
    its curve lr, loss, smoothed, where one was asked for. attention: of the runs whose net has any.
    attributions: of the runs that explain.runs names. weights: of the members of ensembles that find them. together:
    int64 (classes, classes), training images that have both, where an image may have several labels; else (0, 0).
    """

    params: Params
    classes: list[str]
    counts: pd.DataFrame
    findings: dict[str, float]
    left_out: pd.DataFrame
    near_copies: pd.DataFrame
    arms: tuple[ArmSize, ...]
    entries: tuple[Scored, ...]
    curves: dict[str, pd.DataFrame]
    sheets: tuple[Sheet, ...]
    unlabelled: dict[str, pd.DataFrame]
    audits: tuple[AuditedSet, ...]
    encoder: dict[str, Any]
    losses: dict[str, pd.DataFrame]
    rates: dict[str, tuple[float, pd.DataFrame]]
    attention: dict[str, Attention]
    attributions: dict[str, Attributions]
    weights: dict[str, dict[str, float]]
    together: np.ndarray

    def entry(self, name: str) -> Scored:
        """The run or ensemble of that name."""
        return next(entry for entry in self.entries if entry.name == name)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return bool(len(self.together))

    @property
    def measure(self) -> str:
        """What runs are judged by: its key in metrics.json."""
        return "map" if self.multi_label else "accuracy"

    @property
    def measure_name(self) -> str:
        return "mean average precision" if self.multi_label else "accuracy"

    @property
    def num_seeds(self) -> int:
        return len(self.params.train.seeds)
