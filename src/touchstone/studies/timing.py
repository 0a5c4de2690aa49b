"""Seconds that a training step, a prediction or a sample takes on this machine, by short trials on random images.

`measured` runs the trials in as many processes at once as stages will run, since they slow one another down.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from touchstone.arithmetic import hold
from touchstone.config.schema.generator import PipelineConfig
from touchstone.config.settings import Settings
from touchstone.studies.commands import module

ENOUGH = 0.8  # seconds of a trial, about
FEW, MOST = 2, 40  # steps of the shortest trial and of the longest
NUM_PREDICTED = 64  # images of a trial prediction
DISTANCE = 0.1  # of a class's mean from the others, in standard deviations of a trial's features
RATIO = 8  # images of a trial for each image of a batch
SEARCHED = 128  # images of a trial of the audit's search for copies
ORIGINAL_BYTES, FEWEST_ORIGINALS, MOST_ORIGINALS = 2**25, 128, 4096  # the images that may be copied in such a trial


@dataclass(frozen=True)
class Kind:
    """Images of a study, as far as their cost depends on them."""

    image_size: int
    channels: int
    num_classes: int
    multi_label: bool


@dataclass(frozen=True)
class Pace:
    """Seconds on this machine; the keys are names of models and of generators, and "encoder"."""

    step: Mapping[str, float]
    """Of a training step; of a probe, the fits of all folds and values of C for one training image."""
    predicted: Mapping[str, float]
    """Of the prediction of an image."""
    cached: Mapping[str, float]
    """Of an image whose features are computed once; 0 where they are computed in each step."""
    fit_step: Mapping[str, float]
    """Of a step of a generator's fit."""
    sampled: Mapping[str, float]
    """Of a sample of a generator."""
    parameters: Mapping[str, float]
    """Numbers of a model's parameters."""
    searched: Mapping[str, float]
    """Of the audit's search for copies: an "image", an "original" that it may copy, and a "pair" of both."""


def measured(kind: Kind, *, arithmetic: str, processes: int) -> Pace:
    """Measure the models and generators of params.yaml in the current folder, the mean over `processes` at once.

    Raises TouchstoneError where a trial fails.
    """
    arguments = "touchstone.studies.timing", arithmetic, json.dumps(asdict(kind))
    with ThreadPoolExecutor(processes) as pool:
        said = list(pool.map(lambda _: module(Path.cwd(), *arguments), range(processes)))
    found = [json.loads(text.splitlines()[-1]) for text in said]
    return Pace(**{part: _mean([each[part] for each in found]) for part in found[0]})


def _mean(several: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(each[name] for each in several) / len(several) for name in several[0]}


def trial(settings: Settings, kind: Kind) -> Pace:
    """Measure in this process."""
    import torch

    pace = Pace({}, {}, {}, {}, {}, {}, _time_search(kind))
    models: dict[str, Any] = dict(settings.trained)
    if settings.generators:
        models["encoder"] = settings.audit.encoder
    with tempfile.TemporaryDirectory() as scratch:
        for name, model in models.items():
            torch.set_num_threads(model.num_threads)
            _time_model(name, model, settings, kind, pace, Path(scratch))
        for name, generator in settings.fitted.items():
            if isinstance(generator, PipelineConfig):
                continue  # its files may not be here yet, so forecasts leave it out
            torch.set_num_threads(generator.fit.num_threads)
            _time_generator(name, generator, settings, kind, pace, Path(scratch))
    return pace


def _time_model(name: str, model: Any, settings: Settings, kind: Kind, pace: Any, scratch: Path) -> None:
    from touchstone.config.schema.data import Arm
    from touchstone.data.training_set import combine
    from touchstone.models import predict
    from touchstone.training.classifier import build_classifier
    from touchstone.training.loop import train_seed
    from touchstone.training.setup import ScheduledPhase, set_up

    quiet = settings.machine.model_copy(update={"loggers": (), "save_seconds": math.inf})
    lr = {"lr": 1e-4} if model.phases[0].lr == "auto" else {}
    phases = tuple(phase.model_copy(update={**lr, "schedule": "constant", "warmup": 0}) for phase in model.phases)
    alone: Any = {"seeds": (0,), "init_from": "", "teachers": (), "weights": "", "patience": 0}
    model = model.model_copy(update=alone | {"phases": phases})
    images = _random_images(RATIO * model.batch_size, kind)
    data = combine(Arm(), train=images, name=name, multi_label=kind.multi_label)
    val = images.take(range(min(len(images), NUM_PREDICTED)))
    meta = {"classes": _classes(kind), "multi_label": kind.multi_label, "image_size": kind.image_size}
    run = set_up(
        name,
        settings=model.model_copy(update={"select": "last", "on_divergence": "report"}),
        data=data,
        val=val,
        meta=meta | {"channels": kind.channels},
        machine=quiet,
        features=scratch / "features" / name,
    )
    classifier = build_classifier(run, 0)
    pace.parameters[name] = float(sum(parameter.numel() for parameter in classifier.net.parameters()))
    predict.logits(classifier, predict.batches(val.take([0]), run.test_view))  # the first pass takes longer
    seconds = _clock(lambda: predict.logits(classifier, predict.batches(val, run.test_view)))
    pace.predicted[name] = seconds / len(val)
    if model.probe is not None:
        pace.cached[name] = seconds / len(val)
        pace.step[name] = _clock(lambda: _fit_probe(run, classifier)) / len(data)
        return
    steps, cached = [], []
    for number, phase in enumerate(model.phases):

        def short(num_steps: int, phase: Any = phase, number: int = number) -> None:
            of_phase = replace(run, phases=(ScheduledPhase(phase, 0, num_steps),))
            train_seed(of_phase, seed=0, state_file=scratch / f"{name}-{number}-{num_steps}.pt")

        steps.append(_per_step(short))
        cached.append(float(any((scratch / "features" / name).rglob("*"))) * pace.predicted[name])
    pace.step[name] = _weighted(steps, model)
    pace.cached[name] = max(cached)


def _fit_probe(run: Any, classifier: Any) -> None:
    """Cross-validate a probe on random features, about as easy as real ones, of the width that the head takes."""
    import numpy as np

    from touchstone.models.linear_head import linear_head
    from touchstone.training.probe import cross_validated, fitted

    width = linear_head(classifier.net, classifier.head).in_features
    rng, labels = np.random.default_rng(0), run.objective.labels
    shares = np.eye(len(run.classes))[labels] if labels.ndim == 1 else np.nan_to_num(labels)
    centres = shares @ rng.normal(size=(len(run.classes), width)) * DISTANCE
    features = (centres + rng.normal(size=centres.shape)).astype(np.float32)
    if run.settings.probe.C == "auto":
        cross_validated(features, run, number=run.settings.probe.folds)
    else:
        fitted(features, run, run.settings.probe.C)


def _weighted(seconds: list[float], model: Any) -> float:
    """The mean over the phases, weighted by their lengths."""
    lengths = [phase.num_steps or phase.epochs for phase in model.phases]
    return sum(each * length for each, length in zip(seconds, lengths, strict=True)) / sum(lengths)


def _time_generator(name: str, generator: Any, settings: Settings, kind: Kind, pace: Any, scratch: Path) -> None:
    import torch

    from touchstone.config.schema.data import Arm
    from touchstone.data.training_set import combine
    from touchstone.generators import build
    from touchstone.generators.fit import fit
    from touchstone.seeds import generator as stream

    meta = {"classes": _classes(kind), "image_size": kind.image_size, "channels": kind.channels}
    data = combine(Arm(), train=_random_images(RATIO * generator.fit.batch_size, kind), name=name)
    shape: Any = {"channels": kind.channels, "image_size": kind.image_size, "num_classes": kind.num_classes}
    loose = {"min_diversity": 0.0, "max_diversity": 1e9, "grid_steps": 0, "epochs": 0}
    machine = settings.machine.model_copy(update={"save_seconds": math.inf})

    def short(num_steps: int) -> None:
        how = generator.fit.model_copy(update=loose | {"num_steps": num_steps})
        file = scratch / f"{name}-{num_steps}.pt"
        fit(build(generator.kind, how, **shape), settings=how, data=data, meta=meta, machine=machine, state_file=file,
            title=name)  # fmt: skip

    pace.fit_step[name] = _per_step(short)
    module = build(generator.kind, generator.fit, **shape).eval()
    size = min(generator.sample.block, 16)
    streams = [stream(0, "noise", 0, k) for k in range(size)]
    labels = torch.zeros(size, dtype=torch.long)
    pace.sampled[name] = _clock(lambda: module.sample(labels, streams, generator.sample)) / size


def _time_search(kind: Kind) -> dict[str, float]:
    from threadpoolctl import threadpool_limits

    from touchstone.audit.pairs import Originals, reduced

    count = min(MOST_ORIGINALS, max(FEWEST_ORIGINALS, ORIGINAL_BYTES // (kind.image_size**2 * kind.channels)))
    images, originals = reduced(_random_images(SEARCHED, kind).images), _random_images(count, kind).images
    with threadpool_limits(limits=1):
        known = Originals.of(originals)
        rows = known.shortlist(images)
        prepared, shortlisted, compared = (
            min(_clock(part) for _ in range(2))
            for part in (
                lambda: Originals.of(originals),
                lambda: known.shortlist(images),
                lambda: known.compared(images, rows),
            )
        )
    return {"image": compared / SEARCHED, "original": prepared / count, "pair": shortlisted / (SEARCHED * count)}


def _random_images(number: int, kind: Kind) -> Any:
    import numpy as np
    import pandas as pd

    from touchstone.data.imageset import COLUMNS, ImageSet

    pixels = np.random.default_rng(0).integers(
        0, 256, (number, kind.image_size, kind.image_size, kind.channels), np.uint8
    )
    classes = _classes(kind)
    labels = [classes[i % len(classes)] for i in range(number)]
    rows = [(f"{i:064x}", label, "", "real") for i, label in enumerate(labels)]
    return ImageSet(pixels, pd.DataFrame(rows, columns=COLUMNS))


def _classes(kind: Kind) -> list[str]:
    return [f"class {k}" for k in range(kind.num_classes)]


def _per_step(short: Callable[[int], None]) -> float:
    """The seconds of a step: the difference of two trials, which start-up does not count in."""
    first = _clock(lambda: short(FEW))
    first = min(first, _clock(lambda: short(FEW + 1)) * FEW / (FEW + 1))
    steps = max(FEW + 2, min(MOST, round(ENOUGH / max(first / FEW, 1e-6))))
    return max(1e-6, (_clock(lambda: short(FEW + steps)) - first) / steps)


def _clock(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _main() -> None:
    hold(sys.argv[1])
    from touchstone.config.load import load
    from touchstone.errors import run

    def tell() -> None:
        pace = trial(load(), Kind(**json.loads(sys.argv[2])))
        print("\n" + json.dumps(asdict(pace)))

    run(tell)


if __name__ == "__main__":
    _main()
