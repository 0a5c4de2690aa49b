"""Facts -> tables of text, which the HTML and the Markdown print alike."""

import math

import pandas as pd

from touchstone.config.model import Finetune, Model, Phase
from touchstone.config.sections import Arm
from touchstone.report import several
from touchstone.report.facts import Facts, Scored
from touchstone.report.table import Table
from touchstone.report.words import confidence, count, interval, number, percent, points


def class_counts(facts: Facts) -> Table:
    """Images of each class and split, and their sums; of several labels an image, also how many images that are."""
    splits = ["train", "val", "test"]
    rows = [[name, *(f"{n:,}" for n in numbers)] for name, *numbers in facts.counts[["class", *splits]].to_numpy()]
    rows.append(["all labels" if facts.multi_label else "all", *(f"{n:,}" for n in facts.counts[splits].sum())])
    if facts.multi_label:
        for name, key in (("images", "num"), ("of these without a label", "num_without_label")):
            rows.append([name, *(f"{facts.findings[f'{key}_{split}']:,}" for split in splits)])
    return Table("lrrr", ["class", *splits], rows)


def arms(facts: Facts) -> Table:
    """What each arm is made of."""
    rows = []
    for size in facts.arms:
        arm = facts.params.arms[size.name]
        role = "baseline" if size.name == facts.params.compare.baseline else ""
        total = size.num_real + size.num_added
        rows.append([size.name, _adds(arm), f"{size.num_real:,}", f"{size.num_added:,}", f"{total:,}", role])
    return Table("llrrrl", ["arm", "adds", "real", "added", "training images", "role"], rows)


def _adds(arm: Arm) -> str:
    limits = [f"ratio {arm.ratio:g}"] if arm.ratio else []
    limits += [f"at most {arm.per_class} a class"] if arm.per_class else []
    limits += [f"alone for {percent(arm.pretrain_share, 0)} % of the steps"] if arm.schedule == "pretrain" else []
    return ", ".join([*arm.add, *limits]) or "nothing"


def models(facts: Facts) -> Table:
    """How each model is trained: a row a phase."""
    header = ["model", "net", "starts from", "input px", "trained", "budget", "batch"]
    header += ["optimizer", "learning rate", "schedule", "online augmentation", "selected by"]
    rows = []
    for name in facts.params.trained:
        model = facts.params.model(name)
        start = [name, _net(model), _start(model), _size(model)]
        for phase in model.plan():
            rate = f"auto: {facts.rates[name][0]:g}" if phase.lr == "auto" else f"{phase.rate:g}"
            how = [_optimizer(phase, model), rate, _schedule(phase), _online(phase), _selection(model, facts)]
            rows.append([*start, _trained(phase), _budget(phase), str(model.batch_size), *how])
            start = ["", "", "", ""]  # of further phases
    return Table("lllrlrrlrlll", header, rows)


def _start(model: Model) -> str:
    """What a model starts from; whoever freezes random weights is told so in the report."""
    if isinstance(model, Finetune):
        return model.init_from
    if model.pretrained:
        return model.weights.rsplit("/", 1)[-1]
    return "random weights" if model.unfrozen else "random weights, frozen in part: a test of the mechanics"


def _size(model: Model) -> str:
    size = f"{model.input_size}, test {model.test_px}" if model.test_input_size else str(model.input_size)
    return f"{size}, five crops of {model.crop_px}" if model.crop_px else size


def _trained(phase: Phase) -> str:
    return ", ".join(phase.trainable) + (", batch norms frozen" if phase.batch_norm == "frozen" else "")


def _optimizer(phase: Phase, model: Model) -> str:
    parts = [str(phase.optimizer)]
    for name, value in (
        ("weight decay", phase.weight_decay),
        ("gradients at most of norm", phase.clip_norm),
        ("gradients cut at", phase.clip_value),
        ("label smoothing", phase.label_smoothing),
    ):
        parts += [f"{name} {value:g}"] if value else []
    parts += [f"{_accumulation(phase)} batches an update"] if phase.accumulate != 1 else []
    parts += ["classes balanced"] if phase.class_weights == "balanced" else []
    parts += [model.precision] if model.precision != "fp32" else []
    return ", ".join(parts)


def _accumulation(phase: Phase) -> str:
    if isinstance(phase.accumulate, int):
        return str(phase.accumulate)
    return ", ".join(f"{number} from epoch {epoch} on" for epoch, number in sorted(phase.accumulate.items()))


def _online(phase: Phase) -> str:
    parts = [f"crop after padding {phase.crop_padding} px"] if phase.crop_padding else []
    parts += [f"resized crop from {phase.crop_scale:g}"] if phase.crop_scale < 1 else []
    parts += ["mirror"] if phase.hflip else []
    for name, value in (
        ("rotation", phase.rotate_deg),
        ("brightness", phase.jitter_brightness),
        ("contrast", phase.jitter_contrast),
        ("saturation", phase.jitter_saturation),
        ("hue", phase.jitter_hue),
    ):
        parts += [f"{name} ± {value:g}{'°' if name == 'rotation' else ''}"] if value else []
    parts += [f"mixup {phase.mixup:g}"] if phase.mixup else []
    parts += [f"cutmix {phase.cutmix:g}"] if phase.cutmix else []
    return ", ".join(parts) or "none"


def _selection(model: Model, facts: Facts) -> str:
    parts: list[str] = [model.select if facts.findings["num_val"] else "last"]
    parts += [f"averaged weights {model.ema_decay:g}"] if model.ema_decay else []
    parts += [f"mean of the weights of the last {percent(model.swa_share, 0)} %"] if model.swa_share else []
    parts += [f"stops early after {model.patience}"] if model.patience else []
    parts += ["mean over mirror images"] if model.test_flips else []
    return ", ".join(parts)


def _schedule(phase: Phase) -> str:
    text = {
        "step": f"step {phase.decay:g} / {phase.decay_epochs:g} epochs",
        "plateau": f"plateau {phase.decay:g}, patience {phase.plateau_patience}",
    }.get(phase.schedule, phase.schedule)
    return f"{text}, warm-up {phase.warmup_epochs:g} epochs" if phase.warmup_epochs else text


def _budget(phase: Phase) -> str:
    return count(phase.num_steps, "step") if phase.num_steps else count(phase.epochs, "epoch")


def _net(model: Model) -> str:
    options = ", ".join(f"{key} {value}" for key, value in model.options.items())
    return f"{model.net} ({options})" if options else model.net


def accuracies(facts: Facts) -> Table:
    """Model x arm: test accuracy, or mean average precision, in per cent, mean ± sd over the seeds."""
    names = list(facts.params.arms)
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for i, model in enumerate(facts.params.trained):
        entries = [facts.entry(f"{model}-{arm}") for arm in names]
        rows.append([model, *(_accuracy(entry, facts) for entry in entries)])
        verdicts |= {(i, j): entry.word for j, entry in enumerate(entries, 1) if entry.word}
    header = [f"{arm} (baseline)" if arm == facts.params.compare.baseline else arm for arm in names]
    return Table("l" + "r" * len(names), ["model", *header], rows, verdicts)


def _accuracy(entry: Scored, facts: Facts) -> str:
    sd = f" ± {percent(entry.value(f'{facts.measure}_sd'))}" if facts.num_seeds > 1 else ""
    return percent(entry.value(facts.measure)) + sd


def scores(facts: Facts) -> Table:
    """Every run and ensemble: its scores, and its gain over its baseline."""
    header, cells = several.scores(facts) if facts.multi_label else _scores(facts)
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for i, (entry, row) in enumerate(zip(facts.entries, cells, strict=True)):
        compared = [points(entry.value("gain")), interval(entry), _verdict(entry)]
        rows.append([entry.name, *row, *compared, str(entry.scores.get("baseline", "–"))])
        if entry.word:
            verdicts[i, len(header) + 3] = entry.word
    names = ["run or ensemble", *header, "gain, points", f"{confidence(facts.params)} interval", "verdict", "against"]
    return Table("l" + "r" * (len(header) + 2) + "ll", names, rows, verdicts)


def _scores(facts: Facts) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table of all scores, without its comparisons."""
    rows = []
    for entry in facts.entries:
        sd = percent(entry.value("accuracy_sd")) if facts.num_seeds > 1 else "–"
        row = [percent(entry.value("accuracy")), sd, percent(entry.value("val_accuracy"))]
        row += [percent(entry.value("macro_f1"))]
        rows.append([*row, number(entry.value("nll")), number(entry.value("ece"))])
    return ["accuracy %", "sd", "val %", "macro F1 %", "NLL", "ECE"], rows


def comparisons(facts: Facts) -> Table:
    """Every gain: its p-values, its chance, what could have been seen, and the gain over plain copies."""
    compared = [entry for entry in facts.entries if not math.isnan(entry.value("gain"))]
    exact = any("exact_p" in entry.scores for entry in compared)
    over = next((str(entry.scores["control"]) for entry in compared if "control" in entry.scores), "")
    header = ["run or ensemble", "gain, points", "p", "p by Holm"] + (["McNemar's p"] if exact else [])
    header += ["chance of a gain %", "detectable gain"]
    header += [f"over {over.rsplit('-', 1)[1]}", f"{confidence(facts.params)} interval"] if over else []
    rows = []
    for entry in compared:
        row = [entry.name, points(entry.value("gain")), number(entry.value("gain_p"), 4)]
        row += [number(entry.value("gain_p_holm"), 4)] + ([number(entry.value("exact_p"), 4)] if exact else [])
        row += [percent(entry.value("gain_chance"), 1), percent(entry.value("gain_detectable"))]
        row += [points(entry.value("control_gain")), interval(entry, "control_gain")] if over else []
        rows.append([*row, _verdict(entry)])
    verdicts = {(i, len(header)): entry.word for i, entry in enumerate(compared) if entry.word}
    return Table("l" + "r" * (len(header) - 1) + "l", [*header, "verdict"], rows, verdicts)


def _verdict(entry: Scored) -> str:
    if entry.verdict == "diverged" and "diverged" not in entry.scores:
        return "diverged: its baseline"
    failed = entry.scores.get("diverged")
    return f"diverged: {failed}" if failed else entry.verdict or "–"


def ensembles(facts: Facts) -> Table:
    """The rule and the members of each ensemble."""
    rows = []
    for name, ensemble in facts.params.ensembles.items():
        entry, weights = facts.entry(name), facts.weights.get(name, {})
        shares = ", ".join(f"{member} {percent(share, 1)} %" for member, share in weights.items() if share)
        row = [name, ensemble.rule, _members(entry, ensemble.members), ensemble.prefer or "–", shares or "–"]
        row += [percent(entry.value("tie_rate")), points(entry.value("equal_gain")), interval(entry, "equal_gain")]
        rows.append(row)
    header = ["ensemble", "rule", "members", "preferred", "weights", "ties %", "gain at equal compute"]
    return Table("lllllrrr", [*header, f"{confidence(facts.params)} interval"], rows)


def _members(entry: Scored, members: tuple[str, ...]) -> str:
    left_out = f" (left out: {entry.scores['left_out']}, diverged)" if "left_out" in entry.scores else ""
    return ", ".join(members) + left_out


def class_accuracies(facts: Facts) -> Table:
    """Class x run: accuracy in per cent over all seeds, the diagonal of the confusion matrix."""
    columns = [entry.class_accuracy() for entry in facts.entries]
    tested = facts.counts["test"].tolist()
    rows = [
        [name, f"{tested[i]:,}", *(percent(column[i]) for column in columns)] for i, name in enumerate(facts.classes)
    ]
    return Table("lr" + "r" * len(columns), ["class", "test images", *(e.name for e in facts.entries)], rows)


def class_gains(facts: Facts) -> Table:
    """Class x arm of a model: the gain in accuracy over the baseline, in points, and what that says."""
    runs = [entry for entry in facts.entries if entry.class_gains is not None]
    rows: list[list[str]] = []
    verdicts: dict[tuple[int, int], str] = {}
    for k, name in enumerate(facts.classes):
        found = [entry.class_gains.iloc[k] for entry in runs if entry.class_gains is not None]
        rows.append([name, *(points(float(row["gain"])) for row in found)])
        verdicts |= {(k, j): row["verdict"] for j, row in enumerate(found, 1) if row["verdict"] in ("helps", "hurts")}
    return Table("l" + "r" * len(runs), ["class", *(entry.name for entry in runs)], rows, verdicts)


def calibration(facts: Facts) -> Table:
    """How far confidence is from accuracy, as predicted and with a temperature."""
    header = ["run or ensemble", "NLL", "ECE", "temperature", "NLL scaled", "ECE scaled"]
    keys = ("nll", "ece", "temperature", "nll_scaled", "ece_scaled")
    rows = [[entry.name, *(number(entry.value(key)) for key in keys)] for entry in facts.entries]
    return Table("lrrrrr", header, rows)


def mistakes(facts: Facts, *, each: int) -> Table:
    """The worst predictions of every run and ensemble, `each` of them."""
    rows = [
        [entry.name, m.file, m.true, m.predicted, number(m.probability)]
        for entry in facts.entries
        for m in entry.mistakes[:each]
    ]
    return Table("llllr", ["run or ensemble", "file", "true", "predicted", "probability"], rows)


def frame(data: pd.DataFrame, *, rows: int) -> Table:
    """The first rows of a data frame, as they are."""
    head = data.head(rows).astype(str)
    return Table("l" * head.shape[1], [str(name) for name in head.columns], head.to_numpy().tolist())


def run_facts(facts: Facts) -> list[tuple[str, str]]:
    """What was run, as pairs of a term and its description."""
    data, found, params = facts.params.data, facts.findings, facts.params
    colour = "grey" if data.channels == 1 else "colour"
    val = f"{found['num_val']:,} validation" if found["num_val"] else "no validation"
    over = found["num_over_train_size"]
    unused = f"; {count(over, 'more training image')} unused (train_size {data.train_size:,})" if over else ""
    copies = "left out" if data.near_duplicates == "drop" else "reported, not left out"
    times = "once" if facts.num_seeds == 1 else f"{facts.num_seeds} times"
    spread = "" if facts.num_seeds == 1 else ", spread by what seeds vary"
    resamples = f"{params.compare.num_resamples:,} resamples"
    return [
        ("Data source", data.source + (f", fold {data.fold}" if data.fold else "")),
        ("Images", f"{data.image_size} px, {colour}, resized by {data.resize}"),
        ("Splits", f"{found['num_train']:,} training, {val}, {count(found['num_test'], 'test image')}{unused}"),
        ("Unlabelled", count(found["num_unlabelled"], "image")),
        ("Bad images", f"{found['num_bad_images']:,} left out"),
        ("Exact copies", f"{found['num_exact_copies_dropped']:,} left out of training and validation"),
        ("Near copies", f"{found['num_near_copies']:,} found ({copies})"),
        ("Seeds", f"{', '.join(map(str, params.train.seeds))}: each run was trained {times}"),
        ("Intervals", f"{confidence(params)}, paired bootstrap over test images{spread}, {resamples}"),
    ]
