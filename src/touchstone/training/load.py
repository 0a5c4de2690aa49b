"""The reading of a run: a model's settings, its initial weights, and the images of an arm."""

import json
from pathlib import Path
from typing import Any

from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.machine import Machine
from touchstone.config.schema.model import Model
from touchstone.config.schema.tune import Tuned
from touchstone.data.imageset import load
from touchstone.data.labels import is_multi_label
from touchstone.data.replicates import of_replicate
from touchstone.data.training_set import assemble
from touchstone.models.initial_weights import load_initial_weights
from touchstone.models.teachers import load_teachers
from touchstone.training.resume import OF_REPLICATES, Apart, fingerprint, inputs
from touchstone.training.setup import TrainingRun, set_up


def load_run(
    model: str, arm: str, *, data: Path, machine: Machine, features: Path, found: Tuned | None = None
) -> TrainingRun:
    """Read what a model is trained with on an arm, from the folder `data` of the stages before.

    features: the folder of cached features. found: what a search changes in the settings. Raises TouchstoneError where
    files are missing or do not suit one another.
    """
    settings = load_settings(Model, f"models/{model}")
    if settings.init_from:
        initial = load_initial_weights(data / f"starts/{model}.json", runs=data / "runs")
    else:
        initial = load_initial_weights(data / f"pretrained/{model}.json")
    teachers = None
    if settings.teachers:
        teachers = load_teachers(data / f"teachers/{model}-{arm}", settings.teachers, runs=data / "runs")
    elif not settings.init_from:
        settings = settings.with_lr(json.loads((data / f"lr/{model}.json").read_text())["lr"])
    if found is not None:
        settings = settings.tuned(found)
    meta = json.loads((data / "prepared/meta.json").read_text())
    train, val = (load(data / "prepared" / split) for split in ("train", "val"))
    parts: Any = {"augmented": data / "augmented", "multi_label": is_multi_label(meta)}
    images = assemble(data / f"arms/{arm}.json", train=train, replicates=settings.seeds, **parts)
    num_images, num_real = len(images[settings.seeds[0]]), len(of_replicate(train, 0))
    settings = settings.on_images(num_images, num_real=num_real)
    more: Any = {"meta": meta, "machine": machine, "features": features, "initial": initial, "teachers": teachers}
    return set_up(f"{model}-{arm}", settings=settings, data=images, val=val, **more)


def run_fingerprint(stage: str, run: TrainingRun, *, model: str, arm: str, apart: Apart | None = None) -> str:
    """Return the fingerprint of the inputs of a stage that works on a run. apart: as `fingerprint` takes it.

    Each seed has a folder of its own below that of the fingerprint: what differs between seeds invalidates no other.
    """
    apart = (apart or {}) | {f"data/settings/models/{model}.json": ["seeds"]}
    apart |= {f"data/starts/{model}.json": ["sha256", "diverged", "normalisations"]} if run.settings.init_from else {}
    apart |= {f"data/teachers/{model}-{arm}": None} if run.teachers is not None else {}
    apart |= {f"data/arms/{arm}.json": ["sha256"]} | dict.fromkeys(OF_REPLICATES) if run.replicates else {}
    return fingerprint(inputs(stage, model=model, arm=arm), accelerator=run.machine.accelerator, apart=apart)
