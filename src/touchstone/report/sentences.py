"""Facts -> sentences: verdicts, what they rest on, and what failed."""

import math

from touchstone.config.probes import repeated
from touchstone.config.settings import Settings
from touchstone.evaluation.compare import HELPS, HURTS, INCONCLUSIVE, TOO_FEW
from touchstone.evaluation.results import copy_arm
from touchstone.report.facts import Attention, Facts, ReportedResult
from touchstone.report.words import (
    DIVERGED,
    Fragment,
    Sentence,
    confidence,
    count,
    joined,
    listing,
    number,
    percent,
    points,
)

WORDINGS = ((HELPS, "", ""), (HURTS, "", ""), (INCONCLUSIVE, "is ", "for "), (TOO_FEW, "has ", "for "))
"""Each verdict, and the words before and after it."""


def verdicts(facts: Facts) -> list[Sentence]:
    """A sentence for each arm, each gain over `compare.control` and each run with a baseline of its own."""
    return arm_sentences(facts) + control_sentences(facts) + run_sentences(facts)


def arm_sentences(facts: Facts) -> list[Sentence]:
    """One sentence for each arm but the baseline: the models that it helps or hurts, and the inconclusive ones."""
    sentences = []
    for arm in facts.settings.arms:
        if arm != facts.settings.compare.baseline:
            results = [result for result in facts.results if result.arm == arm and result.verdict]
            sentences.append([Fragment(arm, "name"), *_clauses(results, facts.settings), Fragment(".")])
    return sentences


def control_sentences(facts: Facts) -> list[Sentence]:
    """One sentence for each gain over the arm that `compare.control` names; none without that setting."""
    sentences = []
    for result in facts.results if facts.settings.compare.control else ():
        low, high = (result.value(f"control_gain_{end}") for end in ("low", "high"))
        if not math.isnan(low):
            verdict = HELPS if low > 0 else HURTS if high < 0 else INCONCLUSIVE
            what = f" over {result.scores['control']}: {points(result.value('control_gain'))} points, "
            kind = f"{confidence(facts.settings)} interval {result.interval('control_gain')}, "
            sentences.append(
                [Fragment(result.name, "name"), Fragment(what + kind), Fragment(verdict, verdict), Fragment(".")]
            )
    return sentences


def _clauses(results: list[ReportedResult], settings: Settings) -> Sentence:
    """` helps a (+2 points, 95 % interval +1 to +3) and b (...); hurts c (...)`; the unit stands at the first."""
    clauses: list[Sentence] = []
    for verdict, before, after in WORDINGS:
        effects = [
            f"{result.model} ({_effect(result, settings, first=not clauses and i == 0)})"
            for i, result in enumerate(result for result in results if result.verdict == verdict)
        ]
        if effects:
            what = Fragment(f" {after}{listing(effects)}")
            clauses.append([Fragment(f" {before}"), Fragment(verdict, verdict), what])
    failed = [result for result in results if result.verdict == "diverged"]
    own = [f"{result.model} ({result.scores['diverged']})" for result in failed if result.has_diverged]
    others = [result.model for result in failed if not result.has_diverged]
    if own:
        clauses.append([Fragment(" "), DIVERGED, Fragment(f" for {listing(own)}")])
    if others:
        clauses.append([Fragment(f" cannot be compared for {listing(others)}, because the baseline "), DIVERGED])
    return joined(clauses, ";")


def _effect(result: ReportedResult, settings: Settings, *, first: bool) -> str:
    unit, kind = (" points", f"{confidence(settings)} interval ") if first else ("", "")
    return f"{points(result.value('gain'))}{unit}, {kind}{result.interval()}{_detectable(result)}"


def _detectable(result: ReportedResult) -> str:
    """The smallest gain that could have been detected, where a comparison is inconclusive."""
    gain = result.value("gain_detectable")
    if result.verdict != INCONCLUSIVE:
        return ""
    return ", no gain detectable" if math.isnan(gain) else f", detectable gain {percent(gain, 1)}"


def run_sentences(facts: Facts) -> list[Sentence]:
    """One sentence for each run on the baseline arm that is compared with another run."""
    sentences = []
    for result in facts.results:
        if result.arm == facts.settings.compare.baseline and result.verdict:
            other = result.scores["baseline"]
            if result.verdict == "diverged":
                which = result.name if result.has_diverged else other
                before, after = f" and {other} are not compared: {which} ", "."
            else:
                before = next(f" {before}" for verdict, before, _ in WORDINGS if verdict == result.verdict)
                after = f" compared with {other} ({_effect(result, facts.settings, first=True)})."
            verdict = Fragment(result.verdict, result.verdict)
            sentences.append([Fragment(result.name, "name"), Fragment(before), verdict, Fragment(after)])
    return sentences


def attention(picture: Attention) -> str:
    """The caption of a picture of attention."""
    least, most = (share * picture.patches for share in (picture.least, picture.most))
    return (
        "Top: test images. Bottom: the attention that each of their "
        f"{count(picture.patches, 'patch', 'patches')} receives in the net of the first seed, averaged over heads "
        f"and attending patches. The colours run from grey to orange, {least:.2f} to {most:.2f} times an even share."
    )


def beside(result: ReportedResult, facts: Facts) -> str:
    """The gain of an ensemble over the member that it is compared with, and the reason for that choice."""
    member, ensemble = result.scores["baseline"], facts.settings.ensembles[result.name]
    which = "preferred" if ensemble.prefer else "first"
    reason = "its best on validation" if facts.findings["num_val"] else f"its {which} one, without validation images"
    if result.verdict == "diverged":
        return f"{result.name}: there is nothing to compare, because the training of its members diverged."
    return (
        f"{result.name} minus its member {member} ({reason}): {points(result.value('gain'))} points, "
        f"{confidence(facts.settings)} interval {result.interval()}: {result.verdict}."
    )


def failures(facts: Facts) -> list[str]:
    """A sentence for each run that diverged, each ensemble that leaves members out, and each control that failed.

    A control is an arm of plain copies: it failed if it helps or hurts at as many steps as the baseline.
    """
    sentences = []
    for result in facts.results:
        if result.diverged:
            (first, message), *others = result.diverged.items()
            also = f"; so did {listing([f'seed {seed}' for seed, _ in others])}" if others else ""
            sentences.append(f"{result.name}, seed {first}: {message}{also}.")
    for result in facts.results:
        if "left_out" in result.scores:
            sentences.append(f"{result.name} leaves out {result.scores['left_out']}, whose training diverged.")
    controls = [result for result in facts.results if result.arm and result.arm == copy_arm(facts.settings)]
    for result in controls:
        model = facts.settings.trained[result.model]
        same_steps = model.phases[0].num_steps and model.budget == "equal_steps" and model.probe is None
        if result.verdict in ("helps", "hurts") and same_steps:
            sentences.append(
                f"{result.name} {result.verdict}, although plain copies make the same training set at the same number "
                "of steps. Either this is chance, or so few replicates estimate the variance poorly: trust no verdict "
                f"on {result.model} until more replicates agree."
            )
    return sentences


def basis(facts: Facts) -> str:
    """The comparison behind the verdicts, its unit and its criteria."""
    settings = facts.settings
    baseline = settings.compare.baseline
    others = [arm for arm in settings.arms if arm != baseline]
    runs = any(settings.baseline(name, baseline) for name in settings.trained)
    if not others and not runs:
        return f"Only the baseline arm, {baseline}, was run: there is nothing to compare it with."
    arms = "Each arm is one training set. A model trained on it is compared with the same model on the baseline arm, "
    compared = f"{arms}{baseline}. " if others else ""
    compared += "Runs on the baseline arm are compared with the run that the verdict names. " if runs else ""
    subject, a_subject = ("arm", "An arm") if others else ("run", "A run")
    text = (
        f"{compared}Points are percentage points of {facts.measure_name}; a gain above 0 favours the {subject}. "
        f"{a_subject} helps or hurts if the whole {confidence(settings)} interval lies on one side of 0. Intervals and "
        "p-values come from min F' over replicates and test images and are adjusted by Holm for all comparisons"
    )
    if grouped := next((result for result in facts.results if "effective_images" in result.scores), None):
        alike, images = (number(grouped.value(key), 2) for key in ("group_correlation", "effective_images"))
        text += (
            f". Test images come in groups, and intervals are over groups: right answers of {grouped.name} have "
            f"an intraclass correlation of {alike}, and {facts.findings['num_test']:,} images are worth "
            f"{images.partition('.')[0]} independent ones"
        )
    if any(_detectable(result) for result in facts.results):
        text += (
            ". Inconclusive does not mean no effect: in 80 % of cases, this study would detect a true gain of the size "
            "given as detectable"
        )
    return f"{text}."


def caveat(settings: Settings) -> str:
    """The variation that an interval covers, and that which it does not."""
    train = settings.train
    covered = f" and the variation among the {train.replicates} replicates"
    if train.replicates == 1:
        covered = "; with one replicate it says nothing about other seeds"
    fitted = ", and for these generators, which were fitted once" if settings.fitted else ""
    folders = listing([name for name, path in settings.folders.items() if path])
    given = f" A verdict on {folders} holds for those images alone, which all replicates share." if folders else ""
    holds = {
        "seed": f"this training split, which was drawn once{fitted}; others could give another gain",
        "generator": "this training split, which was drawn once, and for generators fitted to it; another split could "
        "give another gain",
        "all": f"training sets like these, {settings.data.train_size:,} images from the same source, each with "
        "generators and seeds of its own",
    }
    held = holds[train.vary if train.replicates > 1 else "seed"]
    covers = f"The {confidence(settings)} interval covers the choice of test images{covered}."
    return f"{covers} A verdict holds for {held}.{given}{_same_probes(settings)}"


def _same_probes(settings: Settings) -> str:
    """A sentence on probes whose replicates have no spread."""
    if not (names := repeated(settings)):
        return ""
    return (
        f" The {settings.train.replicates} replicates of {listing(names)} are the same, since a probe draws nothing at "
        "random: its interval covers the choice of test images alone."
    )


def scope(settings: Settings) -> str:
    """The training sets for which the verdicts hold, in a few words."""
    train = settings.train
    if train.vary == "all" and train.replicates > 1:
        return f"for training images like these ({train.replicates} draws of them)"
    if train.vary == "generator" and train.replicates > 1 and settings.fitted:
        return f"for these training images and generators like these ({train.replicates} fits)"
    return "for these training images"


def audit_basis(facts: Facts) -> str:
    """The audit's comparison and its features."""
    if facts.encoder is None:
        return "There are no generated images, so the audit only checks for copies of test images."
    net, accuracy = facts.settings.audit.encoder.net, percent(float(facts.encoder["test_accuracy"]), 1)
    mix, what = ("", "labels") if facts.multi_label else (" and with an equal mix of classes", "images")
    return (
        f"Each generated set is compared with real test images, at equal numbers{mix}, in the features of a classifier "
        f"trained on the training images ({net}, {accuracy} % of the test {what} right). In brackets: the same figure "
        "for real training images or, for copies, for real test images. No other result depends on the audit."
    )


def audit_words(facts: Facts) -> str:
    """The meaning of the verdicts on generated sets."""
    return (
        "The verdicts on generated sets are adjusted together by Holm, at a level of 5 %. Copies: there are exact "
        "copies of training images, or more near copies by pixels than among real images. Leak: there are such copies "
        "of test images, which make a set useless for this test. Nearer: there are no copies, but the images lie "
        "nearer to the training images than unseen images do, by more than chance explains, as judged by "
        f"{facts.settings.audit.num_splits} honest splits, which divide training and unseen images again at random. "
        "No copying found does not prove that there is none: the column copies below % bounds the share of images in "
        "which the search would find a copy (95 % confidence)."
    )


def audit_folders(facts: Facts) -> str:
    """Say what the verdicts mean for images that were made elsewhere; empty without any."""
    names = [name for name, path in facts.settings.folders.items() if path]
    if not names:
        return ""
    count_as = "counts as a generated set" if len(names) == 1 else "count as generated sets"
    return (
        f"Here, {listing(names)} {count_as}. The images were made elsewhere, and this study cannot tell from what: "
        "their makers may have seen test images, of which the audit finds copies by pixels and no other trace. That "
        "such a set is nearer can also mean that it comes from the same source as the training images."
    )


def audit_recall(facts: Facts) -> str:
    """Say how many planted copies the search finds."""
    shares = {kind.removeprefix("recall_"): share for kind, share in facts.search.items() if share is not None}
    if not shares:
        return ""
    found = [f"{percent(share, 0)} % of the {kind} ones" for kind, share in shares.items()]
    return f"In a test with planted copies of training images, the search finds {listing(found)}."


def audit_derived() -> str:
    """Explain which copies are looked for in sets made by transforms."""
    return (
        "A transform makes its images from training images by design, so they are only searched for copies of test "
        "images. In brackets: the share of near copies among real training images."
    )
