"""Recommend which arm to keep for each model and how to plan the next study, and count what this one cost."""

import math
from collections.abc import Iterator

import numpy as np

from touchstone.config.settings import Settings
from touchstone.evaluation.compare import HELPS, INCONCLUSIVE, TOO_FEW
from touchstone.evaluation.convergence import OVERFITTED, STILL_FALLING
from touchstone.evaluation.design import Spread, smallest_gain, spread_of
from touchstone.report.facts import Facts, ReportedResult
from touchstone.report.words import Fragment, Sentence, count, listing, percent, with_code

FEW, MOST = 5, 4  # replicates that a first study should have; pieces of advice


def keep(facts: Facts) -> list[Sentence]:
    """The arm to keep for each model, with its score and that of the baseline; the models without any come last.

    Of several arms that help, it is the one with the highest validation score: the test images have no say in it.
    """
    baseline, out, plain = facts.settings.compare.baseline, [], []
    for model in facts.settings.trained:
        arms = [result for result in facts.results if result.model == model]
        compared = [result for result in arms if result.arm != baseline and result.verdict]
        helped = [result for result in compared if result.verdict == HELPS]
        before = percent(facts.result(f"{model}-{baseline}").value(facts.measure), 1)
        if helped:
            best = max(helped, key=lambda result: _validated(result, facts))
            after = f" for {model} ({before} → {percent(best.value(facts.measure), 1)} %)"
            others = [result.arm for result in helped if result is not best]
            text = (
                f", the best on validation; {listing(others)} {'help' if len(others) > 1 else 'helps'}, too"
                if others
                else ""
            )
            before_end = facts.result(f"{model}-{baseline}").scores.get("convergence") in (OVERFITTED, STILL_FALLING)
            doubt = " First see whether a baseline of another length gains as much." if before_end else ""
            out.append([Fragment(best.arm, "name"), Fragment(f"{after}{text}.{doubt}")])
        elif compared:
            plain.append(f"{model} ({before} %)")
    if plain:
        out.append([Fragment(baseline, "name"), Fragment(f" for {listing(plain)}: no arm is shown to help.")])
    return out


def next_steps(facts: Facts) -> list[Sentence]:
    """At most MOST sentences that say what would make the verdicts surer or the comparison fairer."""
    compared = [result for result in facts.results if result.arm and result.verdict]
    if not compared:
        first = "Add an arm (`arms`) and its transforms or generators: so far there is nothing to compare."
        return [with_code(step) for step in (first, *_longer(facts), *_shorter(facts), *_unfrozen(facts))]
    fairer = [*_longer(facts), *_shorter(facts), *_tuned(facts)]
    surer = list(_replicates(facts, compared))
    found = any(result.verdict == HELPS for result in compared)  # what a fairer baseline could take back comes first
    steps = [*(fairer + surer if found else surer + fairer), *_unfrozen(facts)]
    return [with_code(step) for step in steps[:MOST]]


def spent(settings: Settings) -> str:
    """The trainings and fits of the study. They are counted, as the minutes that they take differ by machine."""
    train = settings.train
    fits = len(settings.fitted) * (1 if train.vary == "seed" else train.replicates)
    trained = count(len(settings.runs) * train.replicates, "training run")
    return f"{trained} and {count(fits, 'generator fit')}" if fits else trained


def _validated(result: ReportedResult, facts: Facts) -> float:
    score = result.value(f"val_{facts.measure}")
    return -math.inf if math.isnan(score) else score


def _replicates(facts: Facts, compared: list[ReportedResult]) -> Iterator[str]:
    """More replicates or more test images, whichever would lower the detectable gain further."""
    settings, number = facts.settings, facts.settings.train.replicates
    words = {result.verdict for result in compared}
    if number == 1 and all(settings.trained[result.model].probe is not None for result in compared):
        yield (
            f"Draw training images anew for each replicate (`train.replicates: {FEW}`, `train.vary: all` and "
            "`data.train_size`): replicates of a probe differ in nothing else."
        )
    elif number == 1:
        yield (
            f"Repeat each run: with `train.replicates: {FEW}`, a verdict would hold for more than one training of each."
        )
    elif TOO_FEW in words:
        yield f"Repeat each run more often: `train.replicates: {FEW}` allows a verdict."
    elif INCONCLUSIVE in words and (spread := spread_of(result.scores for result in compared)):
        told = [gain for result in compared if not math.isnan(gain := result.value("gain_detectable"))]
        yield from _larger(settings, spread, facts.findings["num_test"], float(np.median(told)) if told else math.nan)
    if number > 1 and settings.train.vary != "all":
        own, pool = (
            int(facts.findings["num_train"]),
            facts.findings["num_train"] + facts.findings["num_over_train_size"],
        )
        share = int(pool) // number
        smaller = f" with `data.train_size: {share}`, so each trains on fewer images," if share < own else ""
        yield (
            f"Give each replicate training images of its own: `train.vary: all`{smaller} makes verdicts hold for other "
            "training images, too."
        )


def _larger(settings: Settings, spread: Spread, num_images: float, told: float) -> Iterator[str]:
    """Estimate the gains that twice the replicates or twice the test images would detect.

    told: the gain that the report gives as detectable; it is scaled, as a share of 1, by the ratio of the designs.
    """
    number = settings.train.replicates

    def gain(replicates: int, times: int) -> float:
        return smallest_gain(settings, spread, num_seeds=replicates, num_images=int(num_images * times))

    now, more, larger = gain(number, 1), gain(2 * number, 1), gain(number, 2)
    if all(math.isfinite(each) for each in (now, more, larger, told)):
        replicates, images = (percent(told * each / now, 1) for each in (more, larger))
        rest = "more test images would not help"
        if larger < 0.98 * now:
            rest = f"twice the test images would detect {images}"
        yield (
            f"To detect gains below {percent(told, 1)} points: twice the replicates (`train.replicates: {2 * number}`) "
            f"would detect {replicates}; {rest}."
        )


def _longer(facts: Facts) -> Iterator[str]:
    falling = [result.name for result in facts.results if result.scores.get("convergence") == STILL_FALLING]
    if falling:
        yield f"Train longer: the validation loss of {_some(falling)} still fell at the end."


def _shorter(facts: Facts) -> Iterator[str]:
    """Only baselines count: an arm that overfits has a verdict that says so."""
    baseline = facts.settings.compare.baseline
    runs = [r.name for r in facts.results if r.arm == baseline and r.scores.get("convergence") == OVERFITTED]
    if runs:
        steps = {int(facts.result(run).value("val_lowest_step")) for run in runs}
        when = f"step {min(steps):,}" if len(steps) == 1 else f"steps {min(steps):,} to {max(steps):,}"
        yield f"Try fewer steps (`num_steps`): the validation loss of {_some(runs)} was lowest at {when}."


def _tuned(facts: Facts) -> Iterator[str]:
    settings = facts.settings
    by_steps = [name for name, model in settings.trained.items() if model.probe is None]
    if models := [name for name in by_steps if name not in settings.tuned]:
        yield (
            f"Tune the baseline and every arm (`budget: tuned`): the baseline of {_some(models)} is untuned, and "
            "tuning it may gain as much as adding images."
        )


def _unfrozen(facts: Facts) -> Iterator[str]:
    pretrained = {name: model for name, model in facts.settings.trained.items() if model.pretrained}
    if pretrained and all(model.probe is not None for model in facts.settings.trained.values()):
        yield f"Train {_some(list(pretrained))} by steps, too (without `probe`): a probe is the model to beat."
    stepped = {name: model for name, model in pretrained.items() if model.probe is None}
    if frozen := [name for name, model in stepped.items() if "all" not in model.phases[-1].trainable]:
        yield f"Train all layers of {_some(frozen)} (`trainable: [all]`): so far some stay pretrained."


def _some(names: list[str]) -> str:
    return listing(names) if len(names) <= 3 else f"{len(names)} of the runs"
