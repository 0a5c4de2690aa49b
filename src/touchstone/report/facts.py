"""The facts of a report: plain, frozen values that the page and its Markdown twin are written from."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.settings import Settings
from touchstone.data.findings import Finding
from touchstone.evaluation.metrics import primary
from touchstone.report.words import points


@dataclass(frozen=True, eq=False)
class GalleryImage:
    """An image of the training or the test split, as a gallery shows it."""

    row: int
    """Row of its split."""
    file: str
    pixels: np.ndarray
    """Pixels (h, w, C), without padding."""


@dataclass(frozen=True, eq=False)
class Neighbour(GalleryImage):
    """The training image nearest to a test image in the features of the audit's encoder."""

    label: str


@dataclass(frozen=True, eq=False)
class Mistake(GalleryImage):
    """A test image that the mean over the replicates gets wrong."""

    true: str
    predicted: str
    probability: float
    """Mean probability of the predicted class."""
    nearest: Neighbour | None = None


@dataclass(frozen=True, eq=False)
class Change(GalleryImage):
    """A test image on which most replicates of a run and most of its baseline disagree, right or wrong."""

    true: str
    predicted: str
    """By the one that is wrong."""
    before: float
    """The share of the baseline's replicates that are right."""
    after: float
    """The share of the run's replicates that are right."""

    def right_in(self, total: int) -> str:
        """`1 → 4 of 5`: the replicates that are right, of the baseline and of the run. total: the replicates."""
        return f"{round(self.before * total)} → {round(self.after * total)} of {total}"


@dataclass(frozen=True)
class Changes:
    """The test images that a run mends or breaks, those that most replicates agree on first."""

    mended: tuple[Change, ...]
    broken: tuple[Change, ...]
    num_mended: int
    """The number of all, shown or not."""
    num_broken: int


@dataclass(frozen=True, eq=False)
class Missed(GalleryImage):
    """A test image that most replicates of every run get wrong."""

    true: str
    predicted: str


@dataclass(frozen=True, eq=False)
class MissedGroup:
    """Missed images that resemble one another."""

    images: tuple[Missed, ...]
    """The images that are shown."""
    total: int
    confusions: str
    """The most frequent ones, such as `8 taken for 3 (5)`."""


@dataclass(frozen=True, eq=False)
class ScoredImage(GalleryImage):
    """A test image and the score of a class on it."""

    score: float
    has_class: bool


@dataclass(frozen=True)
class RankedClass:
    """A class and the test images with its highest scores, highest first, and with its lowest, lowest first."""

    name: str
    top: tuple[ScoredImage, ...]
    bottom: tuple[ScoredImage, ...]


@dataclass(frozen=True, eq=False)
class MultiLabelResult:
    """The part of a result that exists only where images may have several labels."""

    classes: pd.DataFrame
    """One row per class, see `scores.per_class`."""
    curves: pd.DataFrame
    """class, recall, precision."""
    ranked: tuple[RankedClass, ...]


@dataclass(frozen=True, eq=False)
class ReportedResult:
    """A run or an ensemble with its scores and mistakes."""

    name: str
    model: str
    """Empty for an ensemble, like its arm."""
    arm: str
    scores: dict[str, float | str]
    """Its entry of metrics.json."""
    diverged: dict[str, str]
    """Seed -> how its training ended early."""
    reliability: pd.DataFrame
    """confidence, accuracy, images, scaled (0 or 1)."""
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    """int64 (classes, classes), rows true, columns predicted, summed over the replicates; empty with several labels."""
    mistakes: tuple[Mistake, ...] = ()
    """The worst of its `num_wrong` mistakes, most confident first."""
    num_wrong: int = 0
    changes: Changes | None = None
    """Of a run that is compared, where images have one label each."""
    class_gains: pd.DataFrame | None = None
    """gain, gain_low, gain_high, p_holm, verdict of each class; for runs that are compared with a baseline arm."""
    multi_label: MultiLabelResult | None = None

    @property
    def verdict(self) -> str:
        """helps, hurts, inconclusive, diverged, or "" where nothing is compared."""
        return str(self.scores.get("verdict", ""))

    @property
    def status(self) -> str:
        """The verdict; diverged where its own training did, even for a baseline, which has no verdict."""
        return "diverged" if self.has_diverged else self.verdict

    @property
    def has_diverged(self) -> bool:
        """Whether its own training diverged, not that of its baseline."""
        return "diverged" in self.scores

    def value(self, key: str) -> float:
        """A number of metrics.json; NaN where it is missing."""
        return float(self.scores.get(key, np.nan))

    def interval(self, key: str = "gain") -> str:
        """`+1.69 to +4.33`, or an en dash where nothing is compared."""
        if np.isnan(self.value(key)):
            return "–"
        return f"{points(self.value(f'{key}_low'))} to {points(self.value(f'{key}_high'))}"

    def class_accuracy(self) -> np.ndarray:
        """float64 (classes,), the confusion matrix's diagonal over its row sums; NaN without test images."""
        counts = self.confusion.sum(1)
        return np.divide(self.confusion.diagonal(), counts, out=np.full(len(counts), np.nan), where=counts > 0)


@dataclass(frozen=True)
class Sheet:
    """A contact sheet."""

    name: str
    caption: str
    kind: str
    """split or added."""
    png: bytes


@dataclass(frozen=True, eq=False)
class AuditedSet:
    """An added set with its audit."""

    name: str
    figures: dict[str, Any]
    """Its entry of metrics/audit.json."""
    gallery: bytes
    """PNG of the closest pairs."""

    @property
    def verdict(self) -> str:
        """leak, copies, nearer or no copying found; of a set made by a transform, leak or no leak found."""
        return str(self.figures["verdict"])

    @property
    def is_generated(self) -> bool:
        """Whether it is judged as generated: a transform's images are copies of training images by design."""
        return "near_training" in self.figures

    def value(self, key: str) -> float:
        """A figure; NaN where there were too few images for it."""
        figure = self.figures.get(key)
        return np.nan if figure is None else float(figure)


@dataclass(frozen=True)
class Attention:
    """A run's attention over some test images."""

    png: bytes
    patches: int
    least: float
    """Smallest share of the attention that a patch receives; `most` is the largest."""
    most: float


@dataclass(frozen=True, eq=False)
class Attributions:
    """A run's predictions attributed to pixels, see `explain/run.py`."""

    images: pd.DataFrame
    sanity: pd.DataFrame
    """method, layers, likeness, another_seed."""
    tiles: np.ndarray
    """uint8 (images, 1 + methods, side, side, 3)."""
    scales: dict[str, float]
    """method -> the value that its maps draw in full colour."""
    extent: dict[str, int]
    """images, checked, stages, doublings: what was computed."""

    @property
    def is_checked(self) -> bool:
        """Whether the methods were checked by randomised weights."""
        return bool((self.sanity["layers"] > 0).any())


@dataclass(frozen=True, eq=False)
class Facts:
    """Everything that the report shows."""

    settings: Settings
    complete: bool
    """Whether the audit and the explanations are among them."""
    classes: list[str]
    counts: pd.DataFrame
    """class, train, val, test: images of each class."""
    findings: dict[str, float]
    """findings/summary.json of preparation."""
    left_out: pd.DataFrame
    near_copies: pd.DataFrame
    repeats: pd.DataFrame
    """file, label, split, other_file, other_label, other_split, same (bytes or pixels)."""
    warnings: tuple[Finding, ...]
    """Findings of preparation and the source about the images."""
    arm_sizes: dict[str, tuple[int, int]]
    """Arm -> the numbers of its real and of its added training images."""
    results: tuple[ReportedResult, ...]
    curves: dict[str, pd.DataFrame]
    """Run -> step, epoch, train_loss, lr and validation scores, NaN without a validation split; not of probes."""
    missed: tuple[MissedGroup, ...]
    num_missed: int
    """The number of all, shown or not."""
    strips: dict[str, bytes]
    """real, then transform or generator -> PNG of the same training images, or of generated ones above real ones."""
    sheets: tuple[Sheet, ...]
    unlabelled: dict[str, pd.DataFrame]
    """Ensemble -> file, label, probability."""
    audits: tuple[AuditedSet, ...]
    encoder: dict[str, Any] | None
    """test_accuracy and hash of the classifier whose features the audit uses; None without generators."""
    search: dict[str, float | None]
    """The share of planted copies that the audit's search finds, by kind, such as recall_mirrored."""
    losses: dict[str, pd.DataFrame]
    """Fitted generator -> step, loss and more."""
    rates: dict[str, tuple[float, pd.DataFrame]]
    """Model -> the suggestion of the learning-rate finder and its curve lr, loss, smoothed, where it was asked for."""
    trials: dict[str, pd.DataFrame]
    """Run -> the trials of the search for its settings, see `TRIAL_COLUMNS`; for models with budget: tuned."""
    attention: dict[str, Attention]
    """Run -> attention, for runs whose net has any."""
    attributions: dict[str, Attributions]
    """Run -> attributions, for the runs in explain.runs."""
    weights: dict[str, dict[str, float]]
    """Ensemble -> member -> weight, where the rule finds weights."""
    co_occurrence: np.ndarray
    """int64 (classes, classes), training images with both classes; (0, 0) where images have one label each."""
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Generator -> the facts of the pretrained pipeline that it starts from, see generators/diffusers/files.py."""
    probes: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Run of a probe -> C, chosen (share of the replicates) and, where C was searched, log_loss and accuracy."""
    published: dict[str, str] = field(default_factory=dict)
    """Model -> the publisher's name of the weights it starts from, with their version, where they are a publisher's."""

    def result(self, name: str) -> ReportedResult:
        """The run or ensemble of that name."""
        return next(result for result in self.results if result.name == name)

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return bool(len(self.co_occurrence))

    @property
    def measure(self) -> str:
        """The score that runs are compared by: its key in metrics.json."""
        return primary(multi_label=self.multi_label).key

    @property
    def measure_name(self) -> str:
        return "mean average precision on the test images" if self.multi_label else "test accuracy"

    @property
    def num_seeds(self) -> int:
        return self.settings.train.replicates
