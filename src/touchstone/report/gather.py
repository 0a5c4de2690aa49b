"""Files of a finished pipeline -> Facts. Only this module and the readers that it calls open files."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.settings import Settings
from touchstone.data.imageset import ImageSet, class_indices, load, read_files
from touchstone.data.labels import encode, is_multi_label
from touchstone.data.splits import SPLITS
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.evaluation.probs import load_diverged, load_every_weights, load_probs
from touchstone.report import captions
from touchstone.report.explanations import attention, attributions, neighbours
from touchstone.report.facts import ArmSize, AuditedSet, Facts, MultiLabelResult, ReportedResult, Sheet
from touchstone.report.files import numbers, read_bytes, read_json, read_table
from touchstone.report.multi_label import co_occurrence
from touchstone.report.ranked import ranked
from touchstone.report.worst import worst


def gather(root: Path, settings: Settings) -> Facts:
    """Read what the stages left below `root`, the folder of params.yaml.

    Raises TouchstoneError where a file is missing or damaged, or lacks what `settings` declares.
    """
    data, prepared = root / "data", root / "data/prepared"
    meta = read_json(prepared / "meta.json")
    train = load(prepared / "train")
    findings = read_json(prepared / "findings/summary.json")
    audit = read_json(root / "metrics/audit.json")
    explained = settings.explain.runs if settings.explain.images or settings.explain.files else ()
    return Facts(
        settings=settings,
        classes=meta["classes"],
        counts=read_table(prepared / "findings/counts.csv").astype({"train": int, "val": int, "test": int}),
        findings=findings,
        left_out=read_table(prepared / "findings/left_out.csv"),
        near_copies=read_table(prepared / "findings/near_copies.csv"),
        arm_sizes=tuple(_arm_size(name, settings, train, data / "augmented", meta) for name in settings.arms),
        results=tuple(_results(root, settings, meta)),
        curves={name: _curve(data / f"curves/{name}.csv") for name in settings.runs},
        sheets=tuple(_sheets(data, settings, findings)),
        audits=tuple(_audited(name, audit, data) for name in settings.added_sets),
        encoder=audit["encoder"],
        losses={name: numbers(read_table(data / f"augmented/{name}/losses.csv")) for name in settings.generators},
        rates={name: rate for name in settings.models if (rate := _rate(data, name))},
        attention=attention(data / "explained"),
        attributions={name: attributions(data / f"explained/attributions/{name}") for name in explained},
        weights=load_every_weights(data / "ensembles", settings),
        co_occurrence=co_occurrence(encode(train.table, meta)) if is_multi_label(meta) else np.zeros((0, 0), np.int64),
        unlabelled={name: read_table(data / f"ensembles/{name}/predictions.csv") for name in settings.ensembles},
    )


def _arm_size(name: str, settings: Settings, train: ImageSet, augmented: Path, meta: dict[str, Any]) -> ArmSize:
    arm = settings.arms[name]
    added_sets = [load(augmented / added) for added in arm.add]
    images = combine(arm, train=train, added_sets=added_sets, name=name, multi_label=is_multi_label(meta))
    num_real = len(train) if arm.real else 0
    return ArmSize(name, num_real, len(images) - num_real)


@dataclass(frozen=True)
class _Test:
    """The test split."""

    images: ImageSet
    files: list[str]
    labels: np.ndarray
    """int64 (N,), or float32 (N, K) where images may have several labels."""
    classes: list[str]


def _results(root: Path, settings: Settings, meta: dict[str, Any]) -> Iterator[ReportedResult]:
    metrics, data = read_json(root / "metrics/metrics.json"), root / "data"
    images = load(data / "prepared/test")
    test = _Test(images, read_files(data / "prepared", "test"), encode(images.table, meta), meta["classes"])
    nearest = neighbours(data)
    names = [(f"{model}-{arm}", "run", model, arm) for model in settings.trained for arm in settings.arms]
    names += [(name, "ensemble", "", "") for name in settings.ensembles]
    for name, kind, model, arm in names:
        if name not in metrics:
            raise TouchstoneError(f"metrics/metrics.json: no entry for {name}; run `dvc repro evaluate`")
        probs = load_probs(data / ("probs" if kind == "run" else "ensembles"), [name], "test")[name]
        diverged = load_diverged(data / "probs", [name])[name] if kind == "run" else {}
        reliability = numbers(read_table(data / f"plots/reliability/{name}.csv"))
        result = ReportedResult(name, kind, model, arm, metrics[name], diverged, reliability)
        if is_multi_label(meta):
            yield replace(result, multi_label=_multi_label(name, probs, data / "plots", test))
            continue
        mistakes, num_wrong = worst(
            probs, test.labels, count=settings.report.worst, test=images, files=test.files, classes=test.classes
        )
        yield replace(
            result,
            confusion=_confusion(data / f"plots/confusion/{name}.csv", test, num_seeds=len(probs)),
            mistakes=tuple(replace(each, nearest=nearest(images.table["id"].iloc[each.row])) for each in mistakes),
            num_wrong=num_wrong,
            class_gains=_class_gains(data / f"plots/classes/{name}.csv"),
        )


def _multi_label(name: str, probs: np.ndarray, plots: Path, test: _Test) -> MultiLabelResult:
    file = plots / f"classes/{name}.csv"
    table = read_table(file)
    if table.get("class", pd.Series()).tolist() != test.classes:
        raise TouchstoneError(f"{file}: not of these classes; run `dvc repro evaluate`")
    return MultiLabelResult(
        numbers(table.drop(columns="class")),
        read_table(plots / f"precision_recall/{name}.csv"),
        ranked(probs, test.labels, test=test.images, files=test.files, classes=test.classes),
    )


def _confusion(file: Path, test: _Test, *, num_seeds: int) -> np.ndarray:
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


def _curve(file: Path) -> pd.DataFrame:
    table = numbers(read_table(file))
    if "step" not in table:
        raise TouchstoneError(f"{file}: no column step; run `dvc repro train`")
    return table


def _rate(data: Path, model: str) -> tuple[float, pd.DataFrame] | None:
    """The learning rate that was found, and the finder's curve; None where params.yaml gives a number."""
    rate = read_json(data / f"lr/{model}.json")["lr"]
    return None if rate is None else (rate, numbers(read_table(data / f"lr_curves/{model}.csv")))


def _sheets(data: Path, settings: Settings, findings: dict[str, float]) -> Iterator[Sheet]:
    for split in SPLITS:
        if count := int(findings[f"num_{split}"]):
            yield Sheet(split, f"{count:,} images", "split", read_bytes(data / f"prepared/{split}/sheet.png"))
    added = {name: captions.of_transform(transform) for name, transform in settings.transforms.items()}
    for name, generator in settings.generators.items():
        added[name] = captions.of_generator(name, generator, read_table(data / f"augmented/{name}/counts.csv"))
    for name, caption in added.items():
        yield Sheet(name, caption, "added", read_bytes(data / f"augmented/{name}/sheet.png"))


def _audited(name: str, audit: dict[str, Any], data: Path) -> AuditedSet:
    if name not in audit["sets"]:
        raise TouchstoneError(f"metrics/audit.json: no entry for {name}; run `dvc repro audit`")
    return AuditedSet(name, audit["sets"][name], read_bytes(data / f"audit/{name}.png"))
