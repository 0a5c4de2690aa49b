"""Files of a finished pipeline -> Facts: the one place where a report reads."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from touchstone.config.params import Params
from touchstone.config.sections import Transform
from touchstone.data.imageset import ImageSet, class_indices, load, read_files
from touchstone.data.labels import encode, is_multi_label
from touchstone.data.training_set import combine
from touchstone.errors import TouchstoneError
from touchstone.evaluation.probs import load_diverged, load_every_weights, load_probs
from touchstone.report import audits
from touchstone.report.explanations import attention, attributions, neighbours
from touchstone.report.facts import (
    ArmSize,
    AuditedSet,
    Facts,
    Scored,
    Several,
    Sheet,
)
from touchstone.report.files import read_bytes, read_json, read_table
from touchstone.report.ranked import ranked
from touchstone.report.several import co_occurrence
from touchstone.report.worst import worst


def gather(root: Path, params: Params) -> Facts:
    """Read what the stages left below `root` (the folder of params.yaml).

    Raises TouchstoneError where a file is missing, damaged or does not name what `params` declares.
    """
    data, prepared = root / "data", root / "data/prepared"
    meta = read_json(prepared / "meta.json")
    classes = meta["classes"]
    train = load(prepared / "train")
    findings = read_json(prepared / "findings/summary.json")
    audit = read_json(root / "metrics/audit.json")
    return Facts(
        params=params,
        classes=classes,
        counts=read_table(prepared / "findings/counts.csv").astype({"train": int, "val": int, "test": int}),
        findings=findings,
        left_out=read_table(prepared / "findings/left_out.csv"),
        near_copies=read_table(prepared / "findings/near_copies.csv"),
        arms=tuple(_arm_size(name, params, train, data / "pools", meta) for name in params.arms),
        entries=_entries(root, params, meta),
        curves={name: _curve(data / f"curves/{name}.csv") for name in params.runs},
        sheets=_sheets(data, params, findings),
        audits=tuple(_audited(name, audit, data) for name in params.additions),
        encoder=audit["encoder"],
        losses={name: _losses(data / f"pools/{name}/losses.csv") for name in params.generators},
        rates={name: found for name in params.models if (found := _rate(data, name))},
        attention=attention(data / "explained"),
        attributions={
            name: attributions(data / f"explained/attributions/{name}")
            for name in (params.explain.runs if params.explain.images or params.explain.files else ())
        },
        weights=load_every_weights(data / "ensembles", params),
        together=co_occurrence(encode(train.table, meta)) if is_multi_label(meta) else np.zeros((0, 0), np.int64),
        unlabelled={name: read_table(data / f"ensembles/{name}/predictions.csv") for name in params.ensembles},
    )


def describe(transform: Transform) -> str:
    """A transform's settings that differ from the identity, such as `rotate_deg 10, zoom 0.95`."""
    values = transform.model_dump(exclude_defaults=True)
    parts = [f"{key} {_plain(value)}" for key, value in values.items()]
    return ", ".join(parts) or "identity: a plain copy"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _arm_size(name: str, params: Params, train: ImageSet, pools: Path, meta: dict[str, Any]) -> ArmSize:
    arm = params.arms[name]
    additions = [load(pools / addition) for addition in arm.add]
    images = combine(arm, train=train, additions=additions, name=name, multi_label=is_multi_label(meta))
    num_real = len(train) if arm.real else 0
    return ArmSize(name, num_real, len(images) - num_real)


def _entries(root: Path, params: Params, meta: dict[str, Any]) -> tuple[Scored, ...]:
    classes = meta["classes"]
    metrics = read_json(root / "metrics/metrics.json")
    test = load(root / "data/prepared/test")
    names = read_files(root / "data/prepared", "test")
    labels = encode(test.table, meta)
    near = neighbours(root / "data")
    kinds = [(f"{model}-{arm}", "run", model, arm) for model in params.trained for arm in params.arms]
    kinds += [(name, "ensemble", "", "") for name in params.ensembles]
    entries = []
    for name, kind, model, arm in kinds:
        if name not in metrics:
            raise TouchstoneError(f"metrics/metrics.json: no entry for {name}; run `dvc repro evaluate`")
        probs = load_probs(root / "data" / ("probs" if kind == "run" else "ensembles"), [name], "test")[name]
        failed = load_diverged(root / "data/probs", [name])[name] if kind == "run" else {}
        sure = read_table(root / f"data/plots/reliability/{name}.csv").astype(float)
        if is_multi_label(meta):
            several = Several(
                _labels(root / f"data/plots/classes/{name}.csv", classes),
                read_table(root / f"data/plots/precision_recall/{name}.csv"),
                ranked(probs, labels, test=test, files=names, classes=classes),
            )
            none = np.zeros((0, 0), np.int64)
            entries.append(Scored(name, kind, model, arm, metrics[name], none, (), 0, failed, sure, several=several))
            continue
        confusion = _confusion(root / f"data/plots/confusion/{name}.csv", classes)
        if confusion.sum() != probs.shape[0] * len(labels):
            raise TouchstoneError(
                f"data/plots/confusion/{name}.csv: not of these predictions; run `dvc repro evaluate`"
            )
        mistakes, num_wrong = worst(probs, labels, count=params.report.worst, test=test, files=names, classes=classes)
        mistakes = tuple(replace(found, nearest=near(test.table["id"].iloc[found.row])) for found in mistakes)
        gains = _class_gains(root / f"data/plots/classes/{name}.csv")
        row = Scored(name, kind, model, arm, metrics[name], confusion, mistakes, num_wrong, failed, sure, gains)
        entries.append(row)
    return tuple(entries)


def _class_gains(file: Path) -> pd.DataFrame | None:
    """Of an arm's run what it gains in each class; an empty number is NaN."""
    table = read_table(file)
    if "gain" not in table:
        return None
    numbers = ["gain", "gain_low", "gain_high", "p_holm"]
    return table[numbers].replace("", "nan").astype(float).assign(verdict=table["verdict"])


def _labels(file: Path, classes: list[str]) -> pd.DataFrame:
    """What `label_scores.per_class` found; an empty cell is NaN."""
    table = read_table(file)
    if table.get("class", pd.Series()).tolist() != classes:
        raise TouchstoneError(f"{file}: not of these classes; run `dvc repro evaluate`")
    return table.drop(columns="class").replace("", "nan").astype(float)


def _confusion(file: Path, classes: list[str]) -> np.ndarray:
    """int64 (classes, classes) of a table actual, predicted."""
    table = read_table(file)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (class_indices(table["actual"], classes), class_indices(table["predicted"], classes)), 1)
    return counts


def _curve(file: Path) -> pd.DataFrame:
    columns = ["step", "epoch", "train_loss", "lr", "val_loss", "val_accuracy"]
    table = read_table(file)
    missing = [name for name in columns if name not in table]
    if missing:
        raise TouchstoneError(f"{file}: no column {missing[0]}; run `dvc repro train`")
    columns += ["val_map"] if "val_map" in table else []
    return table[columns].replace("", "nan").astype(float)


def _rate(data: Path, model: str) -> tuple[float, pd.DataFrame] | None:
    """What was found, and how; None where the learning rate is a number of params.yaml."""
    found = read_json(data / f"lr/{model}.json")["lr"]
    return None if found is None else (found, read_table(data / f"lr_curves/{model}.csv").astype(float))


def _sheets(data: Path, params: Params, findings: dict[str, float]) -> tuple[Sheet, ...]:
    sheets = []
    for split in ("train", "val", "test", "unlabelled"):
        count = int(findings[f"num_{split}"])
        if count:
            sheets.append(Sheet(split, f"{count:,} images", "split", read_bytes(data / f"prepared/{split}/sheet.png")))
    for name, transform in params.transforms.items():
        sheets.append(Sheet(name, describe(transform), "addition", read_bytes(data / f"pools/{name}/sheet.png")))
    for name in params.generators:
        text = audits.describe(name, params.generator(name), read_table(data / f"pools/{name}/counts.csv"))
        sheets.append(Sheet(name, text, "addition", read_bytes(data / f"pools/{name}/sheet.png")))
    return tuple(sheets)


def _audited(name: str, audit: dict[str, Any], data: Path) -> AuditedSet:
    if name not in audit["sets"]:
        raise TouchstoneError(f"metrics/audit.json: no entry for {name}; run `dvc repro audit`")
    return AuditedSet(name, audit["sets"][name], read_bytes(data / f"audit/{name}.png"))


def _losses(file: Path) -> pd.DataFrame:
    return read_table(file).replace("", "nan").astype(float)
