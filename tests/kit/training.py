"""A tiny training, and ways to interrupt it and to compare what it gives."""

import pytest
import torch

from kit.images import image_set
from touchstone.config.model import Model
from touchstone.config.sections import Arm, Machine
from touchstone.data.imageset import ImageSet
from touchstone.data.training_set import combine
from touchstone.training.keeper import Keeper
from touchstone.training.task import Task, task

META = {"classes": ["a", "b"], "channels": 1, "image_size": 16, "resize": "squash", "max_pixels": 10**6}


def labelled(count: int, seed: int) -> ImageSet:
    """Two classes that can be told apart: b is brighter."""
    images = image_set(["a", "b"] * (count // 2), side=16, channels=1, seed=seed)
    images.images[1::2] //= 2
    images.images[1::2] += 120
    return images


def job(*, val: int = 20, num_workers: int = 0, save_seconds: float = 20.0, **changes) -> Task:
    settings = {
        "num_steps": 30,
        "batch_size": 7,
        "lr": 0.01,
        "schedule": "one_cycle",
        "eval_steps": 5,
        "num_threads": 1,
    }
    settings |= {"net": "lenet", "input_size": 16, "seeds": (0,), "crop_padding": 1, "hflip": True}
    model = Model.model_validate(settings | changes)
    data = combine(Arm(), train=labelled(24, 0), additions=[], name="real")
    return task(
        "t",
        settings=model,
        data=data,
        val=labelled(val, 1),
        meta=META,
        machine=Machine(accelerator="cpu", num_workers=num_workers, save_seconds=save_seconds),
    )


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


class Killed(BaseException):
    """As final as SIGKILL: no handler of the trainer saves anything."""


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Die at the start of step `at`."""
    start = Keeper.before

    def dying(self: Keeper, trainee) -> None:
        if self.progress.step == at:
            raise Killed
        start(self, trainee)

    monkeypatch.setattr(Keeper, "before", dying)
