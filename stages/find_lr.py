"""find_lr@<model>: data/prepared/train -> data/lr/<model>.json and the search's curve, data/lr_curves/<model>.csv.

For `lr: auto`; else the curve is empty. All arms of a model share the rate, so that they differ in nothing else.
"""

import json
import sys
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.data import Arm
from touchstone.config.schema.model import Model
from touchstone.data.imageset import load
from touchstone.data.replicates import of_replicate
from touchstone.data.training_set import combine
from touchstone.models.initial_weights import load_initial_weights
from touchstone.stage import run

import pandas as pd

DATA = Path("data")


def main() -> None:
    model = sys.argv[1]
    settings = load_settings(Model, f"models/{model}")
    rate, curve = None, pd.DataFrame(columns=["lr", "loss", "smoothed"])
    if settings.phases[0].lr == "auto":
        rate, curve = search(model, settings)
        print(f"{model}: learning rate {rate:g}")
    for kind in ("lr", "lr_curves"):
        (DATA / kind).mkdir(exist_ok=True)
    curve.to_csv(DATA / f"lr_curves/{model}.csv", index=False)
    (DATA / f"lr/{model}.json").write_text(json.dumps({"lr": rate}) + "\n")


def search(model: str, settings: Model) -> tuple[float, pd.DataFrame]:
    from touchstone.training.finder import find_lr, search_settings  # here: a given learning rate needs no torch
    from touchstone.training.setup import set_up

    train = of_replicate(load(DATA / "prepared/train"), 0)
    training_run = set_up(
        model,
        settings=search_settings(settings),
        data=combine(Arm(), train=train, name="real"),
        val=train.take([]),  # nothing is selected
        meta=json.loads((DATA / "prepared/meta.json").read_text()),
        machine=load_machine(),
        initial=load_initial_weights(DATA / f"pretrained/{model}.json"),
    )
    return find_lr(training_run)


if __name__ == "__main__":
    run(main)
