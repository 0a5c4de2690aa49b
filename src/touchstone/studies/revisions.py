"""Two git revisions or DVC experiments compared by the predictions that DVC keeps of them: nothing is trained."""

import io
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from touchstone.config import yaml12
from touchstone.config.sections import Compare
from touchstone.data.labels import encode, is_multi_label
from touchstone.errors import TouchstoneError
from touchstone.evaluation.compare import HELPS, INCONCLUSIVE, Comparison, Paired, conclude, holm
from touchstone.evaluation.resampling import LOWER_IS_BETTER, SCORERS, together

WORKSPACE = "workspace"
SINGLE, SEVERAL = ("accuracy", "macro_f1", "nll", "ece"), ("map",)  # metrics of one label an image, and of several


@dataclass(frozen=True, eq=False)
class Revision:
    """What a revision predicts of its test images.

    meta: meta.json. table: of the test images. seeds: those of every run. probs: name of a run or ensemble ->
    (seeds, N, K). missing: those whose predictions are nowhere to be had. diverged: those whose training did.
    """

    name: str
    meta: dict[str, Any]
    table: pd.DataFrame
    seeds: list[int]
    probs: dict[str, np.ndarray]
    missing: list[str]
    diverged: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """A metric of a run or ensemble in both revisions, means over the seeds; low, high: of the difference, after less
    before. p_value: of no difference, adjusted for all runs. verdict: better, worse or inconclusive."""

    run: str
    metric: str
    before: float
    after: float
    low: float
    high: float
    p_value: float
    verdict: str


@dataclass(frozen=True)
class Report:
    """changes: of what differs. unchanged: runs whose predictions are the same. notes: what limits the comparison."""

    before: str
    after: str
    changes: list[Change]
    unchanged: list[str]
    notes: list[str]


def read(root: Path, rev: str) -> Revision:
    """A revision's predictions, from DVC's cache or its remote. rev: whatever git or DVC can name, or `workspace`.

    Raises TouchstoneError on an unknown revision, and where its test images are nowhere to be had.
    """
    from dvc.api import DVCFileSystem  # here: it takes a second to import
    from dvc.scm import RevError
    from dvc_data.index import DataIndexDirError

    for name in ("dvc", "dvc_data", "dvc_objects"):  # they warn of every empty folder
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        files = DVCFileSystem(str(root), rev=None if rev == WORKSPACE else rev)
        values = yaml12.parse(files.read_text("params.yaml"))
    except RevError as error:
        raise TouchstoneError(f"{rev}: {error}; give a commit, a branch, a tag or an experiment") from error
    except FileNotFoundError as error:
        raise TouchstoneError(f"{rev}: no params.yaml in it; it is no revision of this pipeline") from error

    def content(path: str) -> bytes | None:
        try:
            return files.read_bytes(path)
        except (FileNotFoundError, DataIndexDirError):
            return None

    meta, table = content("data/prepared/meta.json"), content("data/prepared/test/table.csv")
    if meta is None or table is None:
        raise TouchstoneError(f"{rev}: its test images are not in DVC's cache; run `dvc pull`, or `dvc repro` there")
    probs, missing, diverged = dict[str, np.ndarray](), list[str](), list[str]()
    for name, path in _declared(values):
        found = content(f"{path}/test.npy")
        if found is None:
            missing.append(name)
        else:
            probs[name] = np.load(io.BytesIO(found), allow_pickle=False)
            if json.loads(content(f"{path}/diverged.json") or "{}"):
                diverged.append(name)
    frame = pd.read_csv(io.BytesIO(table), dtype=str, keep_default_na=False)
    seeds = list(values["train"].get("seeds", [0]))
    for name, told in probs.items():
        if told.shape[:2] != (len(seeds), len(frame)):
            raise TouchstoneError(
                f"{rev}: predictions of {name} are of {told.shape[0]} seeds and {told.shape[1]:,} images, params.yaml "
                f"and the test set of {len(seeds)} and {len(frame):,}; run `dvc repro`"
            )
    return Revision(rev, json.loads(meta), frame, seeds, probs, missing, diverged)


def _declared(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, folder of its predictions) of each run and ensemble; read leniently, as older revisions lack sections."""
    for model in [*values.get("models", {}), *(values.get("finetunes") or {})]:
        for arm in values.get("arms", {}):
            yield f"{model}-{arm}", f"data/probs/{model}-{arm}"
    for name in values.get("ensembles") or {}:
        yield name, f"data/ensembles/{name}"


def compare(before: Revision, after: Revision, settings: Compare, *, seed: int) -> Report:
    """Every metric of the runs that both have and that differ, with intervals; differences are after less before.

    Paired by test image (its id) and by seed: what only one of them has is left out, and said. Raises TouchstoneError
    where their classes differ, or they have no test image, no seed or no run in common.
    """
    if before.meta["classes"] != after.meta["classes"]:
        raise TouchstoneError(f"{before.name} and {after.name} have other classes; nothing can be compared")
    notes = list(_notes(before, after))
    rows = _common_images(before, after)
    seeds = [s for s in before.seeds if s in after.seeds]
    failed = {*before.diverged, *after.diverged}
    names = [name for name in before.probs if name in after.probs and name not in failed]
    for what, there in (("test image with the same labels", len(rows[0])), ("seed", seeds), ("run", names)):
        if not there:
            raise TouchstoneError(f"{before.name} and {after.name} have no {what} in common; {' '.join(notes)}")
    places = [[r.seeds.index(s) for s in seeds] for r in (before, after)]
    labels = encode(after.table.iloc[rows[1]].reset_index(drop=True), after.meta)
    metrics = SEVERAL if is_multi_label(after.meta) else SINGLE
    pairs, unchanged = dict[str, list[np.ndarray]](), list[str]()
    for name in names:
        pair = [r.probs[name][place][:, row] for r, place, row in zip((before, after), places, rows, strict=True)]
        if np.array_equal(pair[0], pair[1]):
            unchanged.append(name)
        else:
            pairs[name] = pair
    found = _paired(pairs, metrics, labels, settings, seed)
    return Report(before.name, after.name, _judged(found, settings), unchanged, notes)


def _paired(
    pairs: dict[str, list[np.ndarray]], metrics: Sequence[str], labels: np.ndarray, settings: Compare, seed: int
) -> dict[tuple[str, str], tuple[Paired, list[float]]]:
    """(run, metric) -> its difference with resamples; its values before and after, means over the seeds."""
    asked = [(metric, probs) for pair in pairs.values() for metric in metrics for probs in pair]
    drawn = iter(together(asked, labels, num_resamples=settings.num_resamples, seed=seed) if asked else ())
    once = np.ones((1, len(labels)), np.float32)
    out = {}
    for name, pair in pairs.items():
        for metric in metrics:
            values = [SCORERS[metric](probs, labels)(once)[0] for probs in pair]  # (seeds,) each
            first, second = next(drawn), next(drawn)
            means = [float(value.mean()) for value in values]
            out[name, metric] = Paired(values[1] - values[0], second - first), means
    return out


def _judged(found: dict[tuple[str, str], tuple[Paired, list[float]]], settings: Compare) -> list[Change]:
    """better, worse or inconclusive: by the interval and by Holm's p-value over the runs of the same metric, over which
    the variance of seeds is pooled."""
    known, adjusted = dict[tuple[str, str], Comparison](), dict[tuple[str, str], float]()
    for metric in dict.fromkeys(metric for _, metric in found):
        family = {key: paired for key, (paired, _) in found.items() if key[1] == metric}
        each = {
            key: conclude(paired, confidence=settings.confidence, pool=list(family.values()))
            for key, paired in family.items()
        }
        known |= each
        adjusted |= dict(zip(each, holm([one.p_value for one in each.values()]), strict=True))
    out = []
    for (run, metric), (_, (before, after)) in found.items():
        one, p, word = known[run, metric], adjusted[run, metric], INCONCLUSIVE
        if one.word != INCONCLUSIVE and p <= 1 - settings.confidence:
            word = "better" if (one.word == HELPS) != (metric in LOWER_IS_BETTER) else "worse"
        out.append(Change(run, metric, before, after, one.low, one.high, p, word))
    return out


def _common_images(before: Revision, after: Revision) -> tuple[np.ndarray, np.ndarray]:
    """Rows (M,) of the images that both have under the same label, in the order of the later one."""
    keys = [list(zip(r.table["id"], r.table["label"], strict=True)) for r in (before, after)]
    place = {key: i for i, key in enumerate(keys[0])}
    found = [(place[key], i) for i, key in enumerate(keys[1]) if key in place]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _notes(before: Revision, after: Revision) -> Iterator[str]:
    common = len(_common_images(before, after)[0])
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
