"""metrics.json and audit.json -> the few figures of each that DVC's tables and plots have room for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from touchstone.evaluation.convergence import losses
from touchstone.evaluation.metrics import primary_key

DIGITS = 4
GAIN = ("gain", "gain_low", "gain_high")


def save(folder: Path, **tables: Mapping[str, Any]) -> None:
    """Write each table to <name>.json in the folder, its keys sorted."""
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(table, indent=2, sort_keys=True) + "\n")


def of_runs(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | str]]:
    """The primary score of each run and ensemble with its gain and verdict, where it is compared."""
    out = {}
    for name, row in metrics.items():
        kept = {key: row[key] for key in (primary_key(row), "gain", "verdict") if key in row}
        out[name] = {key: round(each, DIGITS) + 0.0 if isinstance(each, float) else each for key, each in kept.items()}
    return out


def of_audit(audit: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The verdict on each added set."""
    return {name: {"verdict": row["verdict"]} for name, row in audit["sets"].items()}


def gains(metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """run, gain, gain_low, gain_high in percentage points, and verdict; a row for each run that is compared."""
    rows = [
        {"run": name} | {key: round(100 * row[key], 2) for key in GAIN} | {"verdict": row["verdict"]}
        for name, row in metrics.items()
        if all(key in row for key in GAIN)
    ]
    return pd.DataFrame(rows, columns=["run", *GAIN, "verdict"])


def val_losses(histories: Mapping[str, pd.DataFrame], diverged: Mapping[str, dict[str, str]]) -> pd.DataFrame:
    """run, step, val_loss: the mean over the replicates that did not diverge; no row without a validation split."""
    tables = [pd.DataFrame(columns=["run", "step", "val_loss"])]
    for run, history in histories.items():
        loss = losses(history, diverged[run]).mean(axis=1).round(5)
        if len(loss):
            tables.append(pd.DataFrame({"run": run, "step": loss.index, "val_loss": loss.to_numpy()}))
    return pd.concat(tables[1:] or tables, ignore_index=True)
