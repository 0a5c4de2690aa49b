"""The verdict in one sentence."""

from collections.abc import Iterable, Sequence

from touchstone.report.facts import Facts
from touchstone.report.words import Fragment, listing

Arms = dict[str, dict[str, list[str]]]  # arm -> verdict -> models


def headline(facts: Facts) -> list[Fragment]:
    """Which arms help and hurt which models, and which are inconclusive for all; empty where no arms are compared."""
    arms: Arms = {}
    for entry in facts.entries:
        if entry.arm and entry.arm != facts.params.compare.baseline and entry.verdict:
            arms.setdefault(entry.arm, {}).setdefault(entry.verdict, []).append(entry.model)
    parts = [part for verdict in ("helps", "hurts") for part in _clauses(arms, verdict, facts)]
    if not {"helps", "hurts"} & {verdict for found in arms.values() for verdict in found}:
        parts = [[Fragment("nothing helps or hurts")]]
    rest = [arm for arm, found in arms.items() if set(found) == {"inconclusive"}]
    if rest:
        be = Fragment(" is " if len(rest) == 1 else " are ")
        parts.append([*_names(rest), be, Fragment("inconclusive", "inconclusive")])
    failed = [arm for arm, found in arms.items() if "diverged" in found]
    if failed:
        parts.append([*_names(failed), Fragment(" "), Fragment("diverged", "diverged")])
    if not arms:
        return []
    start = [Fragment("Against "), Fragment(facts.params.compare.baseline, "name"), Fragment(", ")]
    return [*start, *_joined(parts, "; "), Fragment(".")]


def _clauses(arms: Arms, verdict: str, facts: Facts) -> Iterable[list[Fragment]]:
    """`a and b help both models`, `c helps one`; `nothing helps`."""
    groups: dict[tuple[str, ...], list[str]] = {}  # models -> the arms that do so to them
    for arm, found in arms.items():
        if verdict in found:
            groups.setdefault(tuple(found[verdict]), []).append(arm)
    if not groups:
        yield [Fragment(f"nothing {verdict}")]
    for models, names in groups.items():
        verb = verdict if len(names) == 1 else verdict.removesuffix("s")
        yield [*_names(names), Fragment(" "), Fragment(verb, verdict), Fragment(f" {_all(models, facts)}")]


def _names(arms: list[str]) -> list[Fragment]:
    """`a`, `b` and `c`, as names."""
    names = [[Fragment(arm, "name")] for arm in arms]
    return _joined([_joined(names[:-1], ", "), names[-1]], " and ") if len(names) > 1 else names[0]


def _joined(parts: list[list[Fragment]], between: str) -> list[Fragment]:
    return [piece for i, part in enumerate(parts) for piece in ([Fragment(between)] if i else []) + part]


def _all(models: Sequence[str], facts: Facts) -> str:
    every = len(facts.params.trained)
    if len(models) < every or every == 1:
        return listing(models)
    return "both models" if every == 2 else f"all {every} models"
