"""Checks that a run can be trained, made before any work; they change nothing in what is trained."""

from typing import Any

from touchstone.arithmetic import held
from touchstone.config.schema.machine import Machine
from touchstone.config.schema.model import Model
from touchstone.errors import TouchstoneError
from touchstone.models.device import check_compiler, check_precision, device_of_net
from touchstone.models.initial_weights import InitialWeights
from touchstone.models.teachers import Teachers
from touchstone.training.loggers import check_loggers
from touchstone.training.objective import Objective


def check_run(
    title: str,
    settings: Model,
    objective: Objective,
    machine: Machine,
    initial: InitialWeights,
    *,
    num_val: int,
    teachers: Teachers | None = None,
) -> None:
    """Raise TouchstoneError where a run cannot be trained. num_val: the number of validation images."""
    if settings.select not in (*objective.measures, "last"):
        raise TouchstoneError(
            f"{title}: select: {settings.select} is for images of several labels, and here each image has one; set "
            "val_accuracy"
        )
    if settings.crop_px and objective.labels.ndim == 1:
        raise TouchstoneError(
            f"{title}: crops: {settings.crops} takes the strongest crop label by label, and here each image has one "
            "label; set centre"
        )
    several: Any = {"devices": settings.devices, "sync_batch_norm": settings.sync_batch_norm}
    where = device_of_net(machine.accelerator, **several, title=title)
    check_precision(settings.precision, where, arithmetic=held())
    if settings.compile:
        check_compiler(where, arithmetic=held())
    if settings.devices > 1 and settings.teachers:
        raise TouchstoneError(f"{title}: devices: a student learns from its teachers on one device; set 1")
    check_loggers(machine.loggers)
    users = [f"schedule: {phase.schedule}" for phase in settings.phases if phase.schedule == "plateau"]
    users += [f"patience: {settings.patience}"] if settings.patience else []
    if users and not num_val:
        raise TouchstoneError(
            f"{title}: {users[0]} watches the validation images, and there are none; set data.val_fraction above 0, "
            "or train without it"
        )
    lacking = ", ".join(str(seed) for seed in settings.seeds if str(seed) not in initial.sha256)
    if initial.is_run and lacking:
        raise TouchstoneError(f"{title}: {initial.name} has no seed {lacking} to start from; run `dvc repro`")
    if teachers is not None and (lacks := teachers.lacking(settings.seeds)):
        raise TouchstoneError(f"{title}: {lacks} to learn from; run `dvc repro`")
