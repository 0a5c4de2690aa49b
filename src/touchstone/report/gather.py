"""Files of a finished pipeline -> Facts. Only this module opens files, by the readers in files.py."""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.net_names import is_published
from touchstone.config.settings import Settings
from touchstone.data.findings import of_added
from touchstone.data.findings import read as read_findings
from touchstone.data.imageset import ImageSet, class_indices, load, read_files
from touchstone.data.labels import encode, is_multi_label
from touchstone.data.replicates import of_replicate
from touchstone.data.sheets import valid_area
from touchstone.data.splits import SPLITS
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.evaluation.probs import load_diverged, load_every_weights, load_probs
from touchstone.report import strips
from touchstone.report.captions import generator_caption, transform_caption
from touchstone.report.changes import changes, missed
from touchstone.report.facts import (
    Attention,
    Attributions,
    AuditedSet,
    Changes,
    Facts,
    MissedGroup,
    MultiLabelResult,
    Neighbour,
    ReportedResult,
    Sheet,
)
from touchstone.report.files import numbers, read_bytes, read_json, read_table
from touchstone.report.galleries import LabelledImages, ranked, worst
from touchstone.report.multi_label import co_occurrence


def gather(root: Path, settings: Settings, *, complete: bool = True) -> Facts:
    """Read what the stages left below `root`, the folder of params.yaml.

    complete: with the audit and the explanations, which are not there yet when the verdict is.

    Raises TouchstoneError where a file is missing or damaged, or lacks what `settings` declares.
    """
    data, prepared = root / "data", root / "data/prepared"
    meta = read_json(prepared / "meta.json")
    train = load(prepared / "train")
    findings = read_json(prepared / "findings/summary.json")
    audit = read_json(data / "audit/audit.json") if complete else {"encoder": None, "search": {}}
    attention = read_json(data / "explained/attention.json") if complete else {}
    test = _test_images(data, meta)
    every = list(_results(root, settings, test, meta, _neighbours(data) if complete else _no_neighbour))
    features = np.load(data / "audit/test-features.npy", allow_pickle=False) if complete else None
    missed_images, num_missed = _missed(data, settings, test, meta, features)
    explained = settings.explain.runs if complete and settings.explain.attributes else ()
    probes = [name for name, model in settings.trained.items() if model.probe is not None]
    probed = [run for name in probes for run in settings.runs_of(name)]
    return Facts(
        settings=settings,
        complete=complete,
        classes=meta["classes"],
        counts=read_table(prepared / "findings/counts.csv").astype({"train": int, "val": int, "test": int}),
        findings=findings,
        left_out=read_table(prepared / "findings/left_out.csv"),
        repeats=read_table(prepared / "findings/repeats.csv"),
        warnings=(
            *read_findings(prepared / "findings/warnings.csv"),
            *(of_added(data / "collected") if complete else ()),
        ),
        near_copies=read_table(prepared / "findings/near_copies.csv"),
        arm_sizes=_arm_sizes(train, data, settings, meta),
        results=tuple(every),
        missed=missed_images,
        num_missed=num_missed,
        strips=dict(_strips(data, train, settings, generators=settings.generators if complete else ())),
        curves={name: _curve(data / f"curves/{name}.csv") for name in settings.runs if name not in probed},
        probes={name: _curve(data / f"curves/{name}.csv", key="C") for name in probed},
        sheets=tuple(_sheets(data, settings, findings)),
        audits=tuple(_audited(name, audit, data) for name in settings.added_sets if complete),
        encoder=audit["encoder"],
        search=audit["search"],
        losses=_losses(data, settings),
        rates=_rates(data, settings),
        trials={
            run: read_table(data / f"trials/{run}.csv") for name in settings.tuned for run in settings.runs_of(name)
        },
        attention={run: Attention(read_bytes(data / f"explained/{run}.png"), **attention[run]) for run in attention},
        attributions={name: attributions(data / f"explained/attributions/{name}") for name in explained},
        weights=load_every_weights(data / "ensembles", settings),
        co_occurrence=co_occurrence(encode(train.table, meta)) if is_multi_label(meta) else np.zeros((0, 0), np.int64),
        pipelines=_pipelines(data, settings),
        published=_published(data, settings),
        unlabelled={name: read_table(data / f"ensembles/{name}/predictions.csv") for name in settings.ensembles},
    )


def _losses(data: Path, settings: Settings) -> dict[str, pd.DataFrame]:
    """Generator -> its losses, where it was fitted: a pretrained pipeline that is taken as it is has none."""
    tables = {name: numbers(read_table(data / f"augmented/{name}/losses.csv")) for name in settings.fitted}
    return {name: table for name, table in tables.items() if len(table)}


def _pipelines(data: Path, settings: Settings) -> dict[str, dict[str, Any]]:
    """Generator -> the facts of the pretrained pipeline that it starts from, where it does."""
    return {n: read_json(data / f"augmented/{n}/pipeline.json") for n, pinned in settings.pipelines.items() if pinned}


def _published(data: Path, settings: Settings) -> dict[str, str]:
    """Model -> the publisher's name of the weights it starts from, where they are a publisher's."""
    names = [name for name, model in settings.trained.items() if is_published(model.weights)]
    return {name: str(read_json(data / f"pretrained/{name}.json")["source"]) for name in names}


def _arm_sizes(train: ImageSet, data: Path, settings: Settings, meta: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Arm -> the numbers of real and of added training images that a replicate has."""
    train, sizes = of_replicate(train, 0), {}
    for name, arm in settings.arms.items():
        added_sets = [of_replicate(load(data / "augmented" / added), 0) for added in arm.add]
        images = combine(arm, train=train, added_sets=added_sets, name=name, multi_label=is_multi_label(meta))
        num_real = len(train) if arm.real else 0
        sizes[name] = num_real, len(images) - num_real
    return sizes


def _test_images(data: Path, meta: dict[str, Any]) -> LabelledImages:
    images = load(data / "prepared/test")
    return LabelledImages(images, read_files(data / "prepared", "test"), encode(images.table, meta), meta["classes"])


def _missed(
    data: Path, settings: Settings, test: LabelledImages, meta: dict[str, Any], features: np.ndarray | None
) -> tuple[tuple[MissedGroup, ...], int]:
    """The images that every run misses; none where images may have several labels, or with a single run."""
    if is_multi_label(meta) or len(settings.runs) < 2:
        return (), 0
    runs = (load_probs(data / "probs", [run], "test")[run] for run in settings.runs)
    return missed(runs, test, features=features, count=settings.report.worst)


def _strips(
    data: Path, train: ImageSet, settings: Settings, *, generators: Iterable[str]
) -> Iterator[tuple[str, bytes]]:
    first = of_replicate(train, 0)
    rows = strips.chosen(first)
    if rows and (settings.transforms or generators):
        yield "real", strips.plain(first, rows)
    for name in settings.transforms if rows else ():
        yield name, strips.transformed(of_replicate(load(data / f"augmented/{name}"), 0), first, rows)
    for name in generators:
        yield name, read_bytes(data / f"audit/{name}-strip.png")


def _results(
    root: Path,
    settings: Settings,
    test: LabelledImages,
    meta: dict[str, Any],
    nearest: Callable[[str], Neighbour | None],
) -> Iterator[ReportedResult]:
    metrics, data = read_json(root / "data/evaluated/metrics.json"), root / "data"
    names = [(f"{model}-{arm}", model, arm) for model in settings.trained for arm in settings.arms]
    names += [(name, "", "") for name in settings.ensembles]
    for name, model, arm in names:
        if name not in metrics:
            raise TouchstoneError(f"data/evaluated/metrics.json: no entry for {name}; run `dvc repro evaluate`")
        probs = load_probs(data / ("probs" if model else "ensembles"), [name], "test")[name]
        diverged = load_diverged(data / "probs", [name])[name] if model else {}
        reliability = numbers(read_table(data / f"plots/reliability/{name}.csv"))
        result = ReportedResult(name, model, arm, metrics[name], diverged, reliability)
        if is_multi_label(meta):
            yield replace(result, multi_label=_multi_label(name, probs, data / "plots", test))
            continue
        mistakes, num_wrong = worst(probs, test, count=settings.report.worst)
        yield replace(
            result,
            confusion=_confusion(data / f"plots/confusion/{name}.csv", test, num_seeds=len(probs)),
            mistakes=tuple(replace(each, nearest=nearest(test.images.table["id"].iloc[each.row])) for each in mistakes),
            changes=_changes(metrics[name], probs, data, test, count=settings.report.worst) if model else None,
            num_wrong=num_wrong,
            class_gains=_class_gains(data / f"plots/classes/{name}.csv"),
        )


def _changes(row: dict[str, Any], probs: np.ndarray, data: Path, test: LabelledImages, *, count: int) -> Changes | None:
    """The images that a run mends or breaks; None where it is not compared."""
    if "gain" not in row:
        return None
    baseline = str(row["baseline"])
    return changes(probs, load_probs(data / "probs", [baseline], "test")[baseline], test, count=count)


def _no_neighbour(test: str) -> None:
    """The nearest training image of a test image, before the audit has found any."""


def _neighbours(data: Path) -> Callable[[str], Neighbour | None]:
    """A function that maps the id of a test image to the nearest training image; None without training images."""
    train, files = load(data / "prepared/train"), read_files(data / "prepared", "train")
    row_of = {name: row for row, name in enumerate(train.table["id"])}
    table = read_table(data / "audit/test-nearest.csv")
    rows = {test: row_of[nearest] for test, nearest in zip(table["id"], table["nearest_id"], strict=True)}

    def neighbour(test: str) -> Neighbour | None:
        if test not in rows:
            return None
        row = rows[test]
        return Neighbour(row, files[row], valid_area(train, row), train.table["label"].iloc[row])

    return neighbour


def _multi_label(name: str, probs: np.ndarray, plots: Path, test: LabelledImages) -> MultiLabelResult:
    file = plots / f"classes/{name}.csv"
    table = read_table(file)
    if table.get("class", pd.Series()).tolist() != test.classes:
        raise TouchstoneError(f"{file}: not of these classes; run `dvc repro evaluate`")
    curves = read_table(plots / f"precision_recall/{name}.csv")
    return MultiLabelResult(numbers(table.drop(columns="class")), curves, ranked(probs, test))


def _confusion(file: Path, test: LabelledImages, *, num_seeds: int) -> np.ndarray:
    """int64 (classes, classes), counted from a table actual, predicted."""
    table = read_table(file)
    counts = np.zeros((len(test.classes), len(test.classes)), np.int64)
    actual, predicted = (class_indices(table[column], test.classes) for column in ("actual", "predicted"))
    np.add.at(counts, (actual, predicted), 1)
    if counts.sum() != num_seeds * len(test.labels):
        raise TouchstoneError(f"{file}: not of these predictions; run `dvc repro evaluate`")
    return counts


def _class_gains(file: Path) -> pd.DataFrame | None:
    """The gain of each class, for runs that are compared with a baseline arm."""
    table = read_table(file)
    if "gain" not in table:
        return None
    return numbers(table[["gain", "gain_low", "gain_high", "p_holm"]]).assign(verdict=table["verdict"])


def _curve(file: Path, *, key: str = "step") -> pd.DataFrame:
    table = numbers(read_table(file))
    if key not in table:
        raise TouchstoneError(f"{file}: no column {key}; run `dvc repro train`")
    return table


def _rates(data: Path, settings: Settings) -> dict[str, tuple[float, pd.DataFrame]]:
    found = {model: read_json(data / f"lr/{model}.json")["lr"] for model in settings.models}
    return {
        model: (rate, numbers(read_table(data / f"lr_curves/{model}.csv")))
        for model, rate in found.items()
        if rate is not None  # None where params.yaml gives a number
    }


def _sheets(data: Path, settings: Settings, findings: dict[str, float]) -> Iterator[Sheet]:
    for split in SPLITS:
        if count := int(findings[f"num_{split}"]):
            yield Sheet(split, f"{count:,} images", "split", read_bytes(data / f"prepared/{split}/sheet.png"))
    pipelines = _pipelines(data, settings)
    added = {name: transform_caption(transform) for name, transform in settings.transforms.items()}
    for name, generator in settings.generators.items():
        added[name] = generator_caption(
            name, generator, read_table(data / f"augmented/{name}/counts.csv"), pipelines.get(name)
        )
    for name, caption in added.items():
        yield Sheet(name, caption, "added", read_bytes(data / f"augmented/{name}/sheet.png"))


def _audited(name: str, audit: dict[str, Any], data: Path) -> AuditedSet:
    if name not in audit["sets"]:
        raise TouchstoneError(f"data/audit/audit.json: no entry for {name}; run `dvc repro audit`")
    return AuditedSet(name, audit["sets"][name], read_bytes(data / f"audit/{name}.png"))


def attributions(folder: Path) -> Attributions:
    """Read the attributions of a run from its folder below data/explained."""
    images, sanity = read_table(folder / "images.csv"), read_table(folder / "sanity.csv")
    figures = [str(name) for name in images if name not in ("file", "true", "own", "explained")]
    images[figures] = numbers(images[figures])
    sanity[["layers", "likeness", "another_seed"]] = numbers(sanity[["layers", "likeness", "another_seed"]])
    tiles = np.load(io.BytesIO(read_bytes(folder / "tiles.npy")), allow_pickle=False)
    scales, extent = (read_json(folder / f"{name}.json") for name in ("scales", "extent"))
    return Attributions(images, sanity.astype({"layers": int}), tiles, scales, extent)
