"""find_lr@<model>: where a model says `lr: auto`, a search on the real training images -> data/lr/<model>.json.

All arms of a model share what is found; else they would be compared at different rates. The search's curve is
data/lr_curves/<model>.csv, without rows where the learning rate is given.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from touchstone.config import params
from touchstone.config.model import Model
from touchstone.config.sections import Arm, Machine
from touchstone.data.imageset import ImageSet, load
from touchstone.data.training_set import combine
from touchstone.models.origin import read_origin
from touchstone.stage import run

if TYPE_CHECKING:
    from touchstone.training.finder import Found

DATA = Path("data")


def main() -> None:
    model = sys.argv[1]
    every = params.load()
    settings = every.model(model)
    found, curve = None, pd.DataFrame(columns=["lr", "loss", "smoothed"])
    if settings.lr == "auto":
        result = search(model, settings, every.machine)
        found, curve = result.suggestion, result.curve
        print(f"{model}: learning rate {found:g}")
    for kind in ("lr", "lr_curves"):
        (DATA / kind).mkdir(exist_ok=True)
    curve.to_csv(DATA / f"lr_curves/{model}.csv", index=False)
    (DATA / f"lr/{model}.json").write_text(json.dumps({"lr": found}) + "\n")


def search(model: str, settings: Model, machine: Machine) -> "Found":
    """What the finder says of the real training images."""
    from touchstone.training.finder import find_lr  # here: it needs torch, which a given learning rate does not
    from touchstone.training.task import task

    real = load(DATA / "prepared/train")
    images = combine(Arm(), train=real, additions=[], name="real")
    nobody = ImageSet(real.images[:0], real.table[:0])  # no selection
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    more: Any = {"machine": machine, "origin": read_origin(DATA / f"pretrained/{model}.json")}
    settings = settings.model_copy(update={"lr": 1.0, "schedule": "constant", "patience": 0})
    return find_lr(task(model, settings=settings, data=images, val=nobody, meta=meta, **more))


if __name__ == "__main__":
    run(main)
