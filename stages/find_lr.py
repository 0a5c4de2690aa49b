"""find_lr@<model>: where a model says `lr: auto`, a search on the real training images -> data/lr/<model>.json.

All arms of a model share what is found; else they would be compared at different rates. The search's curve is
data/lr_curves/<model>.csv, without rows where the learning rate is given.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from touchstone.config.machine import load_machine
from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.config.schema.model import Model
from touchstone.data.imageset import ImageSet, load
from touchstone.data.training_set import combine
from touchstone.models.initial_weights import load_initial_weights
from touchstone.stage import run

if TYPE_CHECKING:
    from touchstone.training.finder import RateSearch

DATA = Path("data")


def main() -> None:
    model = sys.argv[1]
    settings = load_settings(Model, f"models/{model}")
    rate, curve = None, pd.DataFrame(columns=["lr", "loss", "smoothed"])
    if settings.phases[0].lr == "auto":
        result = search(model, settings, load_machine())
        rate, curve = result.suggestion, result.curve
        print(f"{model}: learning rate {rate:g}")
    for kind in ("lr", "lr_curves"):
        (DATA / kind).mkdir(exist_ok=True)
    curve.to_csv(DATA / f"lr_curves/{model}.csv", index=False)
    (DATA / f"lr/{model}.json").write_text(json.dumps({"lr": rate}) + "\n")


def search(model: str, settings: Model, machine: Machine) -> "RateSearch":
    """Search on the real training images."""
    from touchstone.training.finder import find_lr, search_settings  # here: a given learning rate needs no torch
    from touchstone.training.setup import set_up

    train = load(DATA / "prepared/train")
    data, val = combine(Arm(), train=train, name="real"), ImageSet(train.images[:0], train.table[:0])
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    initial = load_initial_weights(DATA / f"pretrained/{model}.json")
    settings = search_settings(settings)  # nothing is selected: the validation part is empty
    return find_lr(set_up(model, settings=settings, data=data, val=val, meta=meta, machine=machine, initial=initial))


if __name__ == "__main__":
    run(main)
