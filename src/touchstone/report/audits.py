"""What the audit found, as tables and words."""

import math
from typing import Any

from touchstone.config.generator import Generator
from touchstone.report.facts import AuditedSet, Facts
from touchstone.report.table import Table
from touchstone.report.words import count, number, percent


def likeness(facts: Facts) -> Table:
    """How like real held-out images each set is; in brackets what real training images reach at equal numbers."""
    header = ["addition set", "images", "compared", "Fréchet distance", "KID", "precision", "recall", "density"]
    header += ["coverage", "labels agree %"]
    rows = []
    for found in facts.audits:
        row = [found.name, f"{found.figures['num_images']:,}", f"{found.figures['num_matched']:,}"]
        row += [_with_sd(found, "frechet"), _with_floor(found, "kid", digits=3)]
        row += [_with_floor(found, key) for key in ("precision", "recall", "density", "coverage")]
        agree, floor = (found.value(key) for key in ("label_agreement", "label_agreement_floor"))
        rows.append([*row, f"{percent(agree, 1)} ({percent(floor, 1)})"])
    return Table("l" + "r" * 9, header, rows)


def copied(facts: Facts) -> Table:
    """How copied each set is; in brackets the same of real held-out images."""
    header = ["addition set", "verdict", "exact, training", "near, training", "exact, test", "near, test", "mirrored"]
    header += ["distance ratio", "C_T", "of it excess"]
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for i, found in enumerate(facts.audits):
        row = [found.name, found.verdict]
        for name in ("training", "test"):
            share = f"{percent(found.value(f'near_{name}_floor'), 1)} %"
            row += [str(found.figures[f"exact_{name}"]), f"{found.figures[f'near_{name}']} ({share})"]
        row += [str(found.figures["mirrored_training"] + found.figures["mirrored_test"])]
        row += [_with_floor(found, "ratio"), _with_floor(found, "c_t", digits=1)]
        rows.append([*row, number(found.value("c_t_excess"), 1)])
        verdicts[i, 1] = found.verdict
    return Table("llrrrrrrrr", header, rows, verdicts)


def describe(name: str, generator: Generator, counts: Any) -> str:
    """A generator's settings in a line, and what its filter kept."""
    fit, sample = generator.fit, generator.sample
    budget = count(fit.num_steps, "step") if fit.num_steps else count(fit.epochs, "epoch")
    parts = [generator.kind if generator.kind != name else "", f"fitted for {budget} of {fit.batch_size}"]
    own = sample.model_dump(exclude={"per_class", "block", "seed", "filter"})  # what its kind has besides
    parts += [f"{key.replace('_', ' ')} {value}" for key, value in own.items() if value]
    if sample.filter.min_confidence:
        sampled, kept = counts["sampled"].astype(int).sum(), counts["kept"].astype(int).sum()
        parts += [f"{kept:,} of {sampled:,} samples reach a confidence of {sample.filter.min_confidence:g}"]
    return ", ".join(part for part in parts if part)


def _with_floor(found: AuditedSet, key: str, *, digits: int = 2) -> str:
    return f"{number(found.value(key), digits)} ({number(found.value(f'{key}_floor'), digits)})"


def _with_sd(found: AuditedSet, key: str) -> str:
    """`0.83 ± 0.16 (0.59 ± 0.08)`"""
    ours, floor = (
        f"{number(found.value(key + end))} ± {number(found.value(f'{key}{end}_sd'))}" for end in ("", "_floor")
    )
    return ours if math.isnan(found.value(f"{key}_floor")) else f"{ours} ({floor})"
