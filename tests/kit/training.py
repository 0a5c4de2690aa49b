"""A tiny run, a way to interrupt its training, and a comparison of weights."""

import pytest
import torch

from kit.images import image_set
from touchstone.config.load import resolve_model
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.imageset import ImageSet
from touchstone.data.training_set import TrainingSet, combine
from touchstone.models.teachers import Teachers
from touchstone.training.callback import TrainingCallback
from touchstone.training.setup import TrainingRun, set_up

META = {"classes": ["a", "b"], "channels": 1, "image_size": 16, "resize": "squash", "max_pixels": 10**6}


def labelled(count: int, seed: int) -> ImageSet:
    """Two classes that are easy to tell apart: b is brighter."""
    images = image_set(["a", "b"] * (count // 2), side=16, channels=1, seed=seed)
    images.images[1::2] //= 2
    images.images[1::2] += 120
    return images


def new_run(
    *,
    val: int = 20,
    num_workers: int = 0,
    save_seconds: float = 20.0,
    data: dict[int, TrainingSet] | None = None,
    teachers_of: Teachers | None = None,
    **changes,
) -> TrainingRun:
    settings = {
        "num_steps": 30,
        "batch_size": 7,
        "lr": 0.01,
        "schedule": "one_cycle",
        "eval_steps": 5,
        "num_threads": 1,
    }
    settings |= {"net": "lenet", "input_size": 16, "seeds": (0,), "crop_padding": 1, "hflip": True}
    model = resolve_model(settings | changes)
    return set_up(
        "t",
        settings=model,
        data=data or combine(Arm(), train=labelled(24, 0), name="real"),
        val=labelled(val, 1),
        meta=META,
        machine=Machine(accelerator="cpu", num_workers=num_workers, save_seconds=save_seconds),
        teachers=teachers_of,
    )


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


class Killed(BaseException):
    """As final as SIGKILL: no handler of an engine catches it to save anything."""


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Die after `at` steps."""
    start = TrainingCallback.before_step

    def dying(self: TrainingCallback) -> None:
        if self.state.step == at:
            raise Killed
        start(self)

    monkeypatch.setattr(TrainingCallback, "before_step", dying)
