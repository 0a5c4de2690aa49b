"""The audit of added sets as tables."""

import math

from touchstone.report.facts import AuditedSet, Facts
from touchstone.report.table import Table
from touchstone.report.words import number, percent


def likeness(facts: Facts) -> Table:
    """How much each set resembles real test images; in brackets the same for real training images."""
    header = ["added set", "images", "compared", "Fréchet distance", "KID", "precision", "recall", "density"]
    header += ["coverage", "labels agree %"]
    rows = []
    for audit in facts.audits:
        row = [audit.name, f"{audit.figures['num_images']:,}", f"{audit.figures['num_matched']:,}"]
        row += [_with_sd(audit, "frechet"), _with_floor(audit, "kid", digits=3)]
        row += [_with_floor(audit, key) for key in ("precision", "recall", "density", "coverage")]
        agreement, floor = (percent(audit.value(f"label_agreement{end}"), 1) for end in ("", "_floor"))
        rows.append([*row, f"{agreement} ({floor})"])
    return Table("l" + "r" * 9, header, rows)


def copies(facts: Facts) -> Table:
    """The copies in each set; in brackets the same for real test images."""
    header = ["added set", "verdict", "exact, training", "near, training", "exact, test", "near, test", "mirrored"]
    header += ["distance ratio", "C_T", "excess C_T"]
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for i, audit in enumerate(facts.audits):
        row = [audit.name, audit.verdict]
        for name in ("training", "test"):
            share = f"{percent(audit.value(f'near_{name}_floor'), 1)} %"
            row += [str(audit.figures[f"exact_{name}"]), f"{audit.figures[f'near_{name}']} ({share})"]
        row += [str(audit.figures["mirrored_training"] + audit.figures["mirrored_test"]), _with_floor(audit, "ratio")]
        rows.append([*row, _with_floor(audit, "c_t", digits=1), number(audit.value("c_t_excess"), 1)])
        verdicts[i, 1] = audit.verdict
    return Table("llrrrrrrrr", header, rows, verdicts)


def _with_floor(audit: AuditedSet, key: str, *, digits: int = 2) -> str:
    """`0.98 (0.97)`"""
    return f"{number(audit.value(key), digits)} ({number(audit.value(f'{key}_floor'), digits)})"


def _with_sd(audit: AuditedSet, key: str) -> str:
    """`0.83 ± 0.16 (0.59 ± 0.08)`"""
    figure, floor = (
        f"{number(audit.value(key + end))} ± {number(audit.value(f'{key}{end}_sd'))}" for end in ("", "_floor")
    )
    return figure if math.isnan(audit.value(f"{key}_floor")) else f"{figure} ({floor})"
