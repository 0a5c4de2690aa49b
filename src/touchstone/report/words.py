"""Facts -> words: numbers as text, and the verdicts as sentences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from touchstone.config.params import Params
from touchstone.evaluation.results import copy_arm
from touchstone.report.facts import Attention, Facts, Scored

VERDICTS = ("helps", "hurts", "inconclusive", "diverged")
MINUS = "−"


@dataclass(frozen=True)
class Fragment:
    """A piece of a sentence; style is "", "name" or a verdict."""

    text: str
    style: str = ""


def percent(share: float, digits: int = 2) -> str:
    """0.94368 -> 94.37; NaN -> an en dash."""
    return "–" if math.isnan(share) else f"{100 * share:.{digits}f}"


def points(gain: float) -> str:
    """0.02957 -> +2.96, in percentage points."""
    if math.isnan(gain):
        return "–"
    text = f"{abs(100 * gain):.2f}"
    return text if float(text) == 0 else f"{'+' if gain > 0 else MINUS}{text}"


def number(value: float, digits: int = 3) -> str:
    """A plain number; NaN -> an en dash."""
    if math.isnan(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def count(value: float, noun: str, plural: str = "") -> str:
    """`1 image`, `1,797 images`."""
    return f"{value:,.0f} {noun if value == 1 else plural or noun + 's'}"


def listing(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def interval(entry: Scored, key: str = "gain") -> str:
    """`+1.69 to +4.33`, or an en dash where nothing is compared."""
    if math.isnan(entry.value(key)):
        return "–"
    return f"{points(entry.value(f'{key}_low'))} to {points(entry.value(f'{key}_high'))}"


def confidence(params: Params) -> str:
    """`95 %`"""
    return f"{100 * params.compare.confidence:g} %"


def arm_sentences(facts: Facts) -> list[list[Fragment]]:
    """One sentence for each arm other than the baseline: which models it helps, hurts, or says nothing about."""
    out = []
    for arm in facts.params.arms:
        if arm == facts.params.compare.baseline:
            continue
        entries = [entry for entry in facts.entries if entry.arm == arm and entry.verdict]
        out.append([Fragment(arm, "name"), *_clauses(entries, facts.params), Fragment(".")])
    return out


def run_sentences(facts: Facts) -> list[list[Fragment]]:
    """One sentence for each run on the baseline arm that is compared with another run."""
    out = []
    for entry in facts.entries:
        if entry.arm != facts.params.compare.baseline or not entry.verdict:
            continue
        other, word = str(entry.scores["baseline"]), entry.verdict
        if word == "diverged":
            which = entry.name if "diverged" in entry.scores else other
            out.append(
                [
                    Fragment(entry.name, "name"),
                    Fragment(f" and {other} are not compared: {which} "),
                    Fragment(word, word),
                    Fragment("."),
                ]
            )
            continue
        before = " is " if word == "inconclusive" else " "
        share = confidence(facts.params)
        how = f" ({points(entry.value('gain'))} points, {share} interval {interval(entry)}{_seen(entry)})"
        out.append(
            [Fragment(entry.name, "name"), Fragment(before), Fragment(word, word), Fragment(f" against {other}{how}.")]
        )
    return out


def verdicts(facts: Facts) -> list[list[Fragment]]:
    """What is said of each arm, then of runs that are compared with other runs."""
    return arm_sentences(facts) + run_sentences(facts)


def attention(found: Attention) -> str:
    """What a picture of attention shows."""
    even = 1 / found.patches
    return (
        f"Above the test images, below how much each of {count(found.patches, 'patch', 'patches')} is attended to, the "
        "mean over heads and over the patches that attend, of the first seed: from grey to orange "
        f"{found.least / even:.2f} to {found.most / even:.2f} times an even share."
    )


def _clauses(entries: list[Scored], params: Params) -> list[Fragment]:
    """` helps a (+2 points, 95 % interval +1 to +3) and b (...); hurts c (...)`; the unit stands at the first."""
    fragments: list[Fragment] = []
    for verdict in VERDICTS:
        chosen = [entry for entry in entries if entry.verdict == verdict]
        if not chosen:
            continue
        before, after = {"inconclusive": (" is ", " for "), "diverged": (" ", " with ")}.get(verdict, (" ", " "))
        effects = [_effect(entry, params, first=not fragments and i == 0) for i, entry in enumerate(chosen)]
        fragments += [Fragment(f"{';' if fragments else ''}{before}"), Fragment(verdict, verdict)]
        fragments += [Fragment(after + listing(effects))]
    return fragments


def _effect(entry: Scored, params: Params, *, first: bool) -> str:
    if entry.verdict == "diverged":
        return f"{entry.model} ({entry.scores.get('diverged', 'its baseline')})"
    unit, kind = (" points", f"{confidence(params)} interval ") if first else ("", "")
    return f"{entry.model} ({points(entry.value('gain'))}{unit}, {kind}{interval(entry)}{_seen(entry)})"


def _seen(entry: Scored) -> str:
    """Of what is inconclusive, the smallest gain that would have been seen."""
    least = entry.value("gain_detectable")
    return "" if entry.verdict != "inconclusive" or math.isnan(least) else f", detectable {percent(least, 1)}"


def beside(entry: Scored, facts: Facts) -> str:
    """What an ensemble gains over the member that it is compared with, and why that one."""
    member, ensemble = entry.scores["baseline"], facts.params.ensembles[entry.name]
    which = "preferred" if ensemble.prefer else "first"
    why = (
        "its best on validation" if facts.findings["num_val"] else f"its {which} one, as there are no validation images"
    )
    if entry.verdict == "diverged":
        return f"{entry.name}: training of its members diverged; there is nothing to compare."
    return (
        f"{entry.name} less its member {member} ({why}): {points(entry.value('gain'))} points, "
        f"{confidence(facts.params)} interval {interval(entry)}: {entry.verdict}."
    )


def failures(facts: Facts) -> list[str]:
    """A sentence for each run whose training diverged, ensemble that leaves members out, and control that failed."""
    out = []
    for entry in facts.entries:
        if entry.diverged:
            (first, message), *others = entry.diverged.items()
            also = f"; so did {listing([f'seed {seed}' for seed, _ in others])}" if others else ""
            out.append(f"{entry.name}, seed {first}: {message}{also}.")
    for entry in facts.entries:
        if "left_out" in entry.scores:
            out.append(f"{entry.name} leaves out {entry.scores['left_out']}, whose training diverged.")
    return out + _failed_controls(facts)


def _failed_controls(facts: Facts) -> list[str]:
    """Of plain copies that seem to help or hurt at as many steps, where they are the same training set."""
    found = [entry for entry in facts.entries if entry.arm and entry.arm == copy_arm(facts.params)]
    return [
        f"{entry.name} {entry.verdict}, though plain copies at as many steps are no other training set: by chance, or "
        f"because so few seeds tell too little. Trust no verdict on {entry.model} before more seeds say the same."
        for entry in found
        if entry.verdict in ("helps", "hurts") and facts.params.model(entry.model).num_steps
    ]


def basis(facts: Facts) -> str:
    """What the verdicts compare, and in which unit."""
    params = facts.params
    others = [arm for arm in params.arms if arm != params.compare.baseline]
    runs = any(params.baseline(name, params.compare.baseline) for name in params.trained)
    if not others and not runs:
        return f"Only the baseline arm, {params.compare.baseline}, was run: there is nothing to compare it with."
    what = f"Each model is compared with itself, trained on the baseline arm {params.compare.baseline}. "
    also = "Runs on the baseline arm are compared with the run that is named. "
    subject, an = ("run", "A") if not others else ("arm", "An")
    return (
        f"{what if others else ''}{also if runs else ''}"
        f"Points are percentage points of {_measured(facts)}; a gain above 0 favours the {subject}. "
        f"{an} {subject} helps or hurts where the whole {confidence(params)} interval lies on one side of 0"
        f"{_holm(facts)}.{_told(facts)}"
    )


def _holm(facts: Facts) -> str:
    if not any("gain_p_holm" in entry.scores for entry in facts.entries):
        return ""
    level = f"{100 * (1 - facts.params.compare.confidence):g} %"
    return f" and its p-value, adjusted by Holm for all arms and models, is at most {level}"


def _told(facts: Facts) -> str:
    if not any(entry.verdict == "inconclusive" and "gain_detectable" in entry.scores for entry in facts.entries):
        return ""
    return (
        " Inconclusive is not no effect: a true gain as large as the detectable one would be found four times in five."
    )


def _measured(facts: Facts) -> str:
    return "test accuracy" if not facts.multi_label else "mean average precision on the test images"


def caveat(params: Params) -> str:
    """What the interval covers and what it does not, in two sentences."""
    share, num_seeds = confidence(params), len(params.train.seeds)
    fitted = " and each generator fitted once" if params.generators else ""
    ignored = f"that one training split was drawn{fitted}: another could give another gain."
    if num_seeds == 1:
        return (
            f"The {share} interval covers the chance in which test images were drawn; with one seed it says nothing "
            f"about other seeds. It ignores {ignored}"
        )
    return (
        f"The {share} interval covers the chance in the {num_seeds} seeds and in which test images were drawn. It "
        f"ignores {ignored}"
    )


def audit_basis(facts: Facts) -> str:
    """What the audit compares, and how."""
    net, right = facts.params.audit.encoder["net"], percent(float(facts.encoder["test_accuracy"]), 1)
    mix, of_what = ("", "the labels of ") if facts.multi_label else (" and an equal mix of classes", "")
    return (
        f"Every addition set is held against real test images, at equal numbers{mix}, in the "
        f"features of a classifier of the training images ({net}, {right} % of {of_what}the test images right). In "
        "brackets the floor: what real training images reach in a set's place, or, for copies, real test images. "
        "No other result depends on it."
    )
