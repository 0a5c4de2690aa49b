"""Compare two git revisions or DVC experiments by the predictions that DVC stored for them; nothing is trained."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from touchstone.config import yaml
from touchstone.config.schema.evaluation import Compare
from touchstone.data.imageset import group_indices
from touchstone.data.labels import encode, is_multi_label
from touchstone.errors import TouchstoneError, one_line
from touchstone.evaluation.compare import HELPS, HURTS, Paired, compare_paired, judge, paired_accuracy, paired_resampled
from touchstone.evaluation.metrics import Metric, metrics_of
from touchstone.evaluation.resampling import resample_all
from touchstone.evaluation.scores import correct
from touchstone.studies.stale import OTHER, stale_stages
from touchstone.studies.stored import Stored

PREDICTIONS = ("data/probs", "data/ensembles")


@dataclass(frozen=True, eq=False)
class Revision:
    """The predictions of a revision's runs and ensembles for its test images."""

    name: str
    meta: dict[str, Any]
    """The contents of meta.json: the classes, and whether an image may have several."""
    table: pd.DataFrame
    """The test images: id and label, among others."""
    seeds: list[int]
    """The seeds of every run."""
    probs: dict[str, np.ndarray]
    """Name of a run or ensemble -> (seeds, N, K)."""
    missing: list[str]
    """Runs and ensembles whose predictions are in neither DVC's cache nor its remote."""
    diverged: list[str] = field(default_factory=list)
    """Runs whose training diverged."""
    overlap: float = 0.0
    """Of the replicates' training images, see compare.replicate_share."""
    params: dict[str, Any] = field(default_factory=dict)
    """The values of params.yaml."""
    stored: Stored | None = None
    """Its other files, which are read where a page shows them."""
    note: str = ""
    """What limits a comparison with it, as a sentence."""


@dataclass(frozen=True, eq=False)
class Common:
    """Two revisions that are compared share M test images with the same labels, seeds, and runs that have ended."""

    table: pd.DataFrame
    """The test images, M rows of the later revision's table."""
    rows: tuple[np.ndarray, np.ndarray]
    """Their rows in the test sets of the earlier and the later revision, int64 (M,)."""
    labels: np.ndarray
    """int64 (M,), or float32 (M, K) where images may have several labels."""
    seeds: list[int]
    pairs: dict[str, tuple[np.ndarray, np.ndarray]]
    """Run or ensemble -> its predictions before and after, (seeds, M, K) each, where they differ."""
    unchanged: list[str]
    """Runs and ensembles with the same predictions in both."""
    notes: list[str]
    """Differences between the revisions that limit the comparison."""


@dataclass(frozen=True)
class Change:
    """A metric of a run or ensemble in two revisions, as means over the replicates."""

    run: str
    metric: str
    before: float
    after: float
    low: float
    """The lower end of the interval of the difference, after minus before."""
    high: float
    p_value: float
    """For the hypothesis that nothing changed, adjusted by Holm over all runs."""
    verdict: str
    """better, worse, inconclusive or, with two seeds and nothing to pool, too few replicates."""


@dataclass(frozen=True)
class RevisionComparison:
    """Two revisions compared."""

    before: str
    """The name of a revision."""
    after: str
    confidence: float
    """Of the intervals, such as .95."""
    changes: list[Change]
    """One for each metric of each run whose predictions differ, run by run; the metric of the verdicts comes first."""
    unchanged: list[str]
    """Runs with the same predictions in both."""
    notes: list[str]
    """Differences between the revisions that limit the comparison."""


def read_revision(root: Path, revision: str) -> Revision:
    """Read a revision's predictions from DVC's cache or its remote.

    revision: anything that git or DVC can name, or `workspace`. Raise TouchstoneError where there is no such revision,
    its test images are in neither, or its files are damaged.
    """
    try:
        return _read(root, revision)
    except (ValueError, KeyError, EOFError) as error:  # of numpy, pandas and json
        raise TouchstoneError(f"{revision}: its stored files cannot be read ({one_line(error)})") from error


def _read(root: Path, revision: str) -> Revision:
    stored = Stored(root, revision)
    read = stored.read
    params = read("params.yaml")
    if params is None:
        raise TouchstoneError(f"{revision}: it has no params.yaml; give a revision of this pipeline")
    values = yaml.parse(params.decode())
    meta, table = read("data/prepared/meta.json"), read("data/prepared/test/table.csv")
    if meta is None or table is None:
        raise TouchstoneError(
            f"{revision}: its test images are not in DVC's cache; run `dvc pull`, or `dvc repro` there"
        )
    # Older revisions lack some sections.
    models = [name for section in ("models", "finetunes", "students") for name in values.get(section) or {}]
    runs = [f"{model}-{arm}" for model in models for arm in values.get("arms", {})]
    folders = [(name, f"data/probs/{name}") for name in runs]
    folders += [(name, f"data/ensembles/{name}") for name in values.get("ensembles") or {}]
    probs, missing, diverged = dict[str, np.ndarray](), list[str](), list[str]()
    for name, folder in folders:
        content = read(f"{folder}/test.npy")
        if content is None:
            missing.append(name)
            continue
        probs[name] = np.load(io.BytesIO(content), allow_pickle=False)
        if json.loads(read(f"{folder}/diverged.json") or "{}"):
            diverged.append(name)
    images = pd.read_csv(io.BytesIO(table), dtype=str, keep_default_na=False)
    train = values["train"]
    seeds = list(range(train["replicates"])) if "replicates" in train else list(train.get("seeds", [0]))  # older ones
    summary = json.loads(read("data/prepared/findings/summary.json") or "{}")
    for name, predicted in probs.items():
        if predicted.shape[:2] != (len(seeds), len(images)):
            raise TouchstoneError(
                f"{revision}: the predictions of {name} have {predicted.shape[0]} seeds and {predicted.shape[1]:,} "
                f"images, params.yaml and the test set have {len(seeds)} and {len(images):,}; run `dvc repro`"
            )
    overlap, note = summary.get("overlap", 0.0), _note(root) if revision == "workspace" else ""
    return Revision(revision, json.loads(meta), images, seeds, probs, missing, diverged, overlap, values, stored, note)


def _note(root: Path) -> str:
    """Say that predictions of the workspace are not those of its parameters; "" where they are, or nothing tells."""
    if not (root / "dvc.lock").is_file():
        return ""
    try:
        outs = [out for outs in stale_stages(root).values() for out in outs]
    except TouchstoneError:  # a mistake in params.yaml or dvc.yaml, which other commands explain
        return ""
    stale = any(PurePath(out).is_relative_to(folder) for out in outs for folder in PREDICTIONS)
    return f"The predictions of workspace, or some of them, are {OTHER}." if stale else ""


def compare_revisions(before: Revision, after: Revision, settings: Compare, *, seed: int) -> RevisionComparison:
    """Compare every metric of the runs and ensembles that both revisions have; differences are after minus before.

    They are paired by test image (its id) and by seed; what only one revision has is left out and noted. Raise
    TouchstoneError where the classes differ, or there is no test image, no seed or no run in common.
    """
    found = common(before, after)
    metrics = [metric for metric in metrics_of(multi_label=is_multi_label(after.meta)) if metric.compared]
    changes = _changes(found, metrics, settings, seed, max(before.overlap, after.overlap))
    return RevisionComparison(before.name, after.name, settings.confidence, changes, found.unchanged, found.notes)


def common(before: Revision, after: Revision) -> Common:
    """Pair two revisions by test image and seed. Raise TouchstoneError as `compare_revisions` does."""
    if before.meta["classes"] != after.meta["classes"]:
        raise TouchstoneError(f"{before.name} and {after.name} have different classes; nothing can be compared")
    if is_multi_label(before.meta) != is_multi_label(after.meta):
        raise TouchstoneError(
            f"{before.name} and {after.name} differ in whether an image may have several labels; nothing can be "
            "compared"
        )
    rows = _common_images(before, after)
    notes = list(_notes(before, after, len(rows[0])))
    seeds = [s for s in before.seeds if s in after.seeds]
    excluded = {*before.diverged, *after.diverged}
    names = [name for name in before.probs if name in after.probs and name not in excluded]
    for what, shared in (("test image with the same labels", rows[0].tolist()), ("seed", seeds), ("run", names)):
        if not shared:
            raise TouchstoneError(f"{before.name} and {after.name} have no {what} in common; {' '.join(notes)}")
    pairs, unchanged = dict[str, tuple[np.ndarray, np.ndarray]](), list[str]()
    for name in names:
        first, second = (
            revision.probs[name][[revision.seeds.index(s) for s in seeds]][:, row]
            for revision, row in zip((before, after), rows, strict=True)
        )
        if np.array_equal(first, second):
            unchanged.append(name)
        else:
            pairs[name] = first, second
    table = after.table.iloc[rows[1]].reset_index(drop=True)
    return Common(table, rows, encode(table, after.meta), seeds, pairs, unchanged, notes)


def _changes(found: Common, metrics: Sequence[Metric], settings: Compare, seed: int, overlap: float) -> list[Change]:
    """Judge each metric of each run better, worse or inconclusive.

    The runs of one metric are a family: Holm adjusts over them, and they share a pooled variance of seeds.
    """
    pairs, labels, groups = found.pairs, found.labels, group_indices(found.table)
    scores = [(metric, probs) for metric in metrics for pair in pairs.values() for probs in pair]
    resamples = iter(
        resample_all(scores, labels, num_resamples=settings.num_resamples, seed=seed, groups=groups) if scores else ()
    )
    changes: dict[tuple[str, str], Change] = {}
    for metric in metrics:
        paired, means = list[Paired](), list[list[float]]()
        for pair in pairs.values():
            values = [metric.values(probs, labels) for probs in pair]  # (seeds,) each
            first, second = next(resamples), next(resamples)
            if metric.key == "accuracy" and labels.ndim == 1:
                paired.append(paired_accuracy(correct(pair[1], labels), correct(pair[0], labels), groups))
            else:
                num_units = len(labels) if groups is None else int(groups.max()) + 1
                paired.append(paired_resampled(values[1] - values[0], second - first, num_units))
            means.append([float(value.mean()) for value in values])
        options: Any = {"confidence": settings.confidence, "pooled_with": paired, "overlap": overlap}
        compared = [compare_paired(one, **options) for one in paired]
        words = {HELPS: "better", HURTS: "worse"} if not metric.lower_is_better else {HELPS: "worse", HURTS: "better"}
        for run, (before, after), verdict in zip(pairs, means, judge(compared), strict=True):
            word = words.get(verdict.word, verdict.word)
            interval = verdict.low, verdict.high
            changes[run, metric.key] = Change(run, metric.key, before, after, *interval, verdict.p_value, word)
    return [changes[run, metric.key] for run in pairs for metric in metrics]


def _common_images(before: Revision, after: Revision) -> tuple[np.ndarray, np.ndarray]:
    """The rows (M,) of the images that both have with the same labels, in either table, in the order of `after`."""
    keys = [list(zip(r.table["id"], r.table["label"], strict=True)) for r in (before, after)]
    place = {key: i for i, key in enumerate(keys[0])}
    pairs = np.array([(place[key], i) for i, key in enumerate(keys[1]) if key in place], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _notes(before: Revision, after: Revision, common: int) -> Iterator[str]:
    yield from filter(None, (before.note, after.note))
    sizes = [len(r.table) for r in (before, after)]
    if sizes != [common, common]:
        yield (
            f"The test sets differ: {before.name} has {sizes[0]:,} images, {after.name} {sizes[1]:,}; compared on the "
            f"{common:,} that are in both with the same labels."
        )
    if before.seeds != after.seeds:
        yield f"The seeds differ: {before.seeds} and {after.seeds}; compared on those in both."
    for one, other in ((before, after), (after, before)):
        if one.diverged:
            yield f"Training diverged in {one.name}: {', '.join(one.diverged)}; not compared."
        if one.missing:
            yield f"Not in the cache of {one.name}: {', '.join(one.missing)}; `dvc pull` or `dvc repro` brings them."
        lone = [name for name in one.probs if name not in other.probs and name not in other.missing]
        if lone:
            yield f"Only in {one.name}: {', '.join(lone)}."
