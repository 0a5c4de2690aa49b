"""metrics.json and audit.json -> the few figures of each that DVC's tables have room for."""

from collections.abc import Mapping
from typing import Any

from touchstone.evaluation.metrics import primary_key

DIGITS = 4


def of_runs(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | str]]:
    """The primary score of each run and ensemble with its gain and verdict, where it is compared."""
    out = {}
    for name, row in metrics.items():
        kept = {key: row[key] for key in (primary_key(row), "gain", "verdict") if key in row}
        out[name] = {key: round(each, DIGITS) if isinstance(each, float) else each for key, each in kept.items()}
    return out


def of_audit(audit: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The verdict on each added set."""
    return {name: {"verdict": row["verdict"]} for name, row in audit["sets"].items()}
