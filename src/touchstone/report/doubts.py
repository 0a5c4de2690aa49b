"""Says what could explain a verdict: an overfitted or unconverged baseline or arm, or copies of test images."""

from touchstone.evaluation.convergence import LEAST_FALL, LEAST_RISE, OVERFITTED, STILL_FALLING
from touchstone.report.facts import AuditedSet, Facts, ReportedResult
from touchstone.report.table import Table
from touchstone.report.words import Fragment, Sentence, listing, points

LEAK = "leak"  # the audit's word
FREE = ("constant", "plateau")  # schedules whose first steps are the same in a training of fewer steps
BASIS = (
    "Overfitted: the validation loss is lowest in the first 80 % of the training and ends higher by at least "
    f"{100 * LEAST_RISE:g} %. Still falling: it falls by at least {100 * LEAST_FALL:g} % from the second-last "
    "to the last tenth of the validations. Either change must be larger than its noise from seed to seed; otherwise "
    "the run counts as settled. Any schedule that ends at a low learning rate also settles, so more steps could still "
    "gain."
)


def table(facts: Facts) -> Table:
    """The course of the validation loss of each run that has one."""
    header = [
        "run",
        "validation loss",
        "lowest at step",
        "rise to the end, %",
        "change in the last tenth, %",
        "weights",
    ]
    rows = [
        [
            result.name,
            _course(result),
            f"{result.value('val_lowest_step'):,.0f}",
            points(result.value("val_rise")),
            points(result.value("val_change")),
            _select(result, facts),
        ]
        for result in facts.results
        if _course(result)
    ]
    return Table("llrrrl", header, rows)


def sentences(facts: Facts) -> list[str]:
    """A sentence for each run whose course could explain a verdict, and what holds of the weights it kept."""
    out = []
    for run, names in _helped(facts):
        way = "shorter" if _course(run) == OVERFITTED else "longer"
        verb = "helps" if len(names) == 1 else "help"
        out.append(f"{_told(run, facts)} A {way} baseline could explain why {listing(names)} {verb}.")
    for run in _unfinished(facts):
        out.append(f"{_told(run, facts)} More steps could change its verdict ({run.verdict}).")
    return out


def in_short(facts: Facts) -> Sentence:
    """The sentences that the headline adds; empty where no course could explain a verdict."""
    baselines, text = [run for run, _ in _helped(facts)], ""
    for course, what, steps in ((OVERFITTED, "overfitted", "fewer"), (STILL_FALLING, "had not converged", "more")):
        if names := [run.name for run in baselines if _course(run) == course]:
            text += f" But {listing(names)} {what}: trained for {steps} steps, it might gain as much."
    if names := [run.name for run in _unfinished(facts)]:
        text += f" {listing(names)} had not converged: more steps could change the verdict."
    return [Fragment(text)] if text else []


def leaking(facts: Facts) -> Sentence:
    """The sentence that the headline adds where arms add copies of test images or of their groups; empty otherwise.

    Copies among a transform's images are those of training images, which the baseline has, too.
    """
    added = {name for arm in facts.settings.arms.values() for name in arm.add}
    leaks = [audit for audit in facts.audits if audit.is_generated and audit.verdict == LEAK and audit.name in added]
    by_what: dict[str, list[str]] = {}
    for audit in leaks:
        by_what.setdefault(_leaked(audit), []).append(audit.name)
    text = ""
    for what, names in by_what.items():
        holds, them = ("holds", "it") if len(names) == 1 else ("hold", "them")
        text += f" But {listing(names)} {holds} {what}: no verdict on an arm that adds {them} is fair."
    return [Fragment(text)] if text else []


def _leaked(audit: AuditedSet) -> str:
    """Say what a set holds that makes it a leak: images of groups that are held out, or copies of test images."""
    held_out = (("test", "test"), ("val", "validation"))
    splits = [noun for split, noun in held_out if audit.figures.get(f"shared_group_{split}")]
    groups = [f"images of groups that {' and '.join(splits)} images belong to"] if splits else []
    copies = ["copies of test images"] if audit.figures["exact_test"] or not splits else []
    return " and ".join([*copies, *groups])


def _helped(facts: Facts) -> list[tuple[ReportedResult, list[str]]]:
    """Each baseline whose course could explain that runs help, and the names of these runs."""
    out: dict[str, list[str]] = {}
    for result in facts.results:
        if result.arm and result.verdict == "helps" and "baseline" in result.scores:
            out.setdefault(str(result.scores["baseline"]), []).append(result.name)
    runs = [(facts.result(name), names) for name, names in out.items()]
    return [(run, names) for run, names in runs if _course(run) == STILL_FALLING or _could_be_shorter(run, facts)]


def _could_be_shorter(run: ReportedResult, facts: Facts) -> bool:
    """Whether a run overfitted and fewer steps could give weights that it did not have to choose from."""
    model = facts.settings.trained[run.model]
    free = all(phase.schedule in FREE for phase in model.phases) and model.select != "last"
    return _course(run) == OVERFITTED and not free


def _unfinished(facts: Facts) -> list[ReportedResult]:
    """The runs that do not help and whose loss is still falling."""
    verdicts = ("hurts", "inconclusive")
    return [r for r in facts.results if r.arm and r.verdict in verdicts and _course(r) == STILL_FALLING]


def _told(run: ReportedResult, facts: Facts) -> str:
    """`a-real overfitted: ...`, or `a-real had not converged: ...`."""
    if _course(run) == STILL_FALLING:
        fall = f"{-100 * run.value('val_change'):.1f} %"
        return f"{run.name} had not converged: its validation loss still fell by {fall} in the last tenth."
    rise, model = f"{100 * run.value('val_rise'):.0f} %", facts.settings.trained[run.model]
    kept = "and its last weights were kept"
    if model.select != "last":
        kept = f"and the best weights by {model.select} were kept, but its schedule was made for all steps"
    step = f"{run.value('val_lowest_step'):,.0f}"
    return f"{run.name} overfitted: its validation loss was lowest at step {step}, rose by {rise} to the end, {kept}."


def _course(result: ReportedResult) -> str:
    """overfitted, still falling, settled, or "" where no validation loss tells."""
    return str(result.scores.get("convergence", ""))


def _select(result: ReportedResult, facts: Facts) -> str:
    select = facts.settings.trained[result.model].select
    return "last" if select == "last" else f"best {select}"
