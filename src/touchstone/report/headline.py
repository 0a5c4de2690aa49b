"""The verdict in one sentence, and what in the courses of training could explain it."""

import math
from collections.abc import Iterator, Sequence

from touchstone.config.schema.data import Arm
from touchstone.evaluation.compare import TOO_FEW
from touchstone.report import doubts
from touchstone.report.facts import Facts, ReportedResult
from touchstone.report.sentences import scope
from touchstone.report.words import DIVERGED, Fragment, Sentence, confidence, count, joined, listing, percent

# Sources that say nothing of their images.
UNNAMED = ("folder", "table", "coco", "webdataset", "idx", "medmnist", "voc")
NAMED = 3  # classes named in a title


def title(facts: Facts) -> str:
    """Return the title in params.yaml, or the name of the data set, or the classes of images from a folder."""
    settings = facts.settings
    if settings.report.title or settings.data.source not in UNNAMED:
        return settings.report.title or settings.data.source
    few = len(facts.classes) <= NAMED + 1
    return listing(facts.classes if few else [*facts.classes[:NAMED], f"{len(facts.classes) - NAMED} other classes"])


def headline(facts: Facts) -> Sentence:
    """The arms that improve or worsen models or, where none does, the gains that could have been detected.

    Where nothing at all is compared, these are the scores; empty where only runs on the baseline arm are compared.
    """
    baseline = facts.settings.compare.baseline
    compared = [result for result in facts.results if result.arm not in ("", baseline) and result.verdict]
    if not compared:
        return [] if any(result.verdict for result in facts.results) else _scores(facts)
    clauses = [*_effects(compared, "helps", facts), *_effects(compared, "hurts", facts)]
    arms = _arms(compared)
    if clauses:
        over = "over" if any(result.verdict == "helps" for result in compared) else "compared with"
        plain = facts.settings.arms[baseline] == Arm()
        clauses[0].append(Fragment(f" {over} {'real images alone' if plain else f'the baseline, {baseline}'}"))
        inconclusive = [arm for arm, results in arms.items() if {r.verdict for r in results} == {"inconclusive"}]
        if inconclusive:
            be = " is " if len(inconclusive) == 1 else " are "
            clauses.append([*_names(inconclusive, "and"), Fragment(be), Fragment("inconclusive", "inconclusive")])
    elif any(result.verdict == TOO_FEW for result in compared):
        clauses = [[Fragment("no verdict: a single comparison needs at least three replicates")]]
    elif any(result.verdict == "inconclusive" for result in compared):
        open_arms = [arm for arm, results in arms.items() if any(r.verdict == "inconclusive" for r in results)]
        clauses = [[Fragment("no verdict on "), *_names(open_arms, "or"), Fragment(f": {_detectable(compared)}")]]
    judged = any(r.verdict in ("helps", "hurts", "inconclusive") for r in compared)
    found = any(r.verdict in ("helps", "hurts") for r in compared)
    holds = f" {'This holds' if found else 'A verdict would hold'} {scope(facts.settings)}." if judged else ""
    sentence = [
        *joined([*clauses, *_failures(arms)], "; "),
        Fragment(f".{holds}"),
        *doubts.leaking(facts),
        *doubts.in_short(facts),
    ]
    first = sentence[0]
    return sentence if first.style else [Fragment(first.text[0].upper() + first.text[1:]), *sentence[1:]]


def _scores(facts: Facts) -> Sentence:
    """`lenet reaches 91.3 % test accuracy (95 % interval 89.0 to 93.7)`, for at most NAMED runs."""
    runs = facts.results[:NAMED]
    if any(math.isnan(run.value(facts.measure)) for run in runs):
        return []
    parts: list[Sentence] = []
    for i, run in enumerate(runs):
        low, score, high = (percent(run.value(f"{facts.measure}{end}"), 1) for end in ("_low", "", "_high"))
        what, kind = (f" {facts.measure_name}", f"{confidence(facts.settings)} interval ") if not i else ("", "")
        text = f" reaches {score} %{what} ({kind}{low} to {high})"
        parts.append([Fragment(run.model or run.name, "name"), Fragment(text)])
    more = f"; {count(len(facts.results) - NAMED, 'more run')} below" if len(facts.results) > NAMED else ""
    return [*joined(parts, "; "), Fragment(f"{more}.")]


def _arms(results: Sequence[ReportedResult]) -> dict[str, list[ReportedResult]]:
    arms: dict[str, list[ReportedResult]] = {}
    for result in results:
        arms.setdefault(result.arm, []).append(result)
    return arms


def _effects(compared: list[ReportedResult], verdict: str, facts: Facts) -> Iterator[Sentence]:
    """`adding a or b images improves both models`; `training on c worsens one`: arms that do the same together."""
    arms = facts.settings.arms
    plain = arms[facts.settings.compare.baseline] == Arm()  # real images alone
    groups: dict[tuple[bool, tuple[str, ...]], list[str]] = {}  # whether they only add images, models -> arms
    for name, results in _arms([result for result in compared if result.verdict == verdict]).items():
        adds = plain and arms[name].real and bool(arms[name].add)
        groups.setdefault((adds, tuple(result.model for result in results)), []).append(name)
    verb = {"helps": "improves", "hurts": "worsens"}[verdict]
    for (adds, models), names in groups.items():
        subject = [Fragment("adding " if adds else "training on "), *_names(names, "or")]
        effect = [Fragment(" images " if adds else " "), Fragment(verb, verdict), Fragment(f" {_all(models, facts)}")]
        yield [*subject, *effect]


def _detectable(results: list[ReportedResult]) -> str:
    """The gains that comparisons without a verdict could have detected."""
    possible = [gain for result in results if not math.isnan(gain := result.value("gain_detectable"))]
    if not possible:
        return "no gain, however large, could have been detected"
    low, high = percent(min(possible), 1), percent(max(possible), 1)
    which = f"{low} points" if low == high else f"{low} to {high} points, depending on the run,"
    return f"only gains above {which} could have been detected"


def _failures(arms: dict[str, list[ReportedResult]]) -> Iterator[Sentence]:
    """`x diverged`; `y cannot be compared where the baseline diverged`."""
    failed = {arm: results for arm, results in arms.items() if any(r.verdict == "diverged" for r in results)}
    own = [arm for arm, results in failed.items() if any(r.has_diverged for r in results)]
    others = [arm for arm in failed if arm not in own]
    if own:
        yield [*_names(own, "and"), Fragment(" "), DIVERGED]
    if others:
        yield [*_names(others, "and"), Fragment(" cannot be compared where the baseline "), DIVERGED]


def _names(arms: list[str], word: str) -> Sentence:
    """`a`, `b` and `c`, as names, with the word before the last."""
    names = [[Fragment(arm, "name")] for arm in arms]
    return joined([joined(names[:-1], ", "), names[-1]], f" {word} ") if len(names) > 1 else names[0]


def _all(models: Sequence[str], facts: Facts) -> str:
    total = len(facts.settings.trained)
    if len(models) < total or total == 1:
        return listing(models)
    return "both models" if total == 2 else f"all {total} models"
