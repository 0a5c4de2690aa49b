"""fit@<generator>: data/prepared/train -> data/generators/<generator>/<replicate>, data/losses/<generator>.csv.

The losses are means over the replicates.
"""

import json
import sys
from pathlib import Path
from typing import Any

from touchstone.config.machine import load_machine
from touchstone.config.resolved import read
from touchstone.config.schema.data import Arm
from touchstone.config.schema.generator import part_of
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.data.replicates import of_replicate
from touchstone.data.training_set import combine
from touchstone.generators import build
from touchstone.generators.files import GeneratorMetadata, save_generator
from touchstone.generators.fit import Fitted, fit
from touchstone.models.device import device
from touchstone.seeds import derive, replicate_seed
from touchstone.stage import run
from touchstone.training.resume import fingerprint, inputs, mark_complete, open_checkpoint

import pandas as pd
import torch

DATA = Path("data")
OF_REPLICATES = "data/prepared/train/images.npy", "data/prepared/train/table.csv", "data/settings/replicates.json"


def main() -> dict[str, object]:
    name = sys.argv[1]
    machine, number = load_machine(), read("replicates")["fits"]
    device(machine.accelerator)  # one that is not there is an error before any work
    mark = fingerprint(inputs("fit", name=name), accelerator=machine.accelerator, apart=dict.fromkeys(OF_REPLICATES))
    store, request = Path(".touchstone/fit") / name, json.dumps(number)
    folder = open_checkpoint(store, mark, request=request)
    fits = [fit_replicate(name, replicate, folder) for replicate in range(number)]
    with replaced(DATA / "generators" / name) as new:
        for replicate, (metadata, fitted) in enumerate(fits):
            (new / str(replicate)).mkdir()
            save_generator(new / str(replicate), metadata, fitted.weights, grids=fitted.grids)
    (DATA / "losses").mkdir(exist_ok=True)
    history = pd.concat([fitted.history for _, fitted in fits]).groupby("step", as_index=False).mean()
    history.round(6).to_csv(DATA / f"losses/{name}.csv", index=False)
    mark_complete(store, mark, request=request)
    return {"images_per_second": [round(fitted.images_per_second) for _, fitted in fits]}


def fit_replicate(name: str, replicate: int, folder: Path) -> tuple[GeneratorMetadata, Fitted]:
    """Fit the generator of a replicate to its training images, or take up the fit where it ended."""
    values, meta = read(f"generators/{name}.fit"), json.loads((DATA / "prepared/meta.json").read_text())
    settings = part_of(values["kind"], "fit", values["fit"])
    settings = settings.model_copy(update={"seed": replicate_seed(settings.seed, replicate)})
    shape: Any = {"channels": meta["channels"], "image_size": meta["image_size"]}
    data = combine(Arm(), train=of_replicate(load(DATA / "prepared/train"), replicate), name=name)
    own = folder / f"{replicate}-{data.content_hash()[:16]}"
    own.mkdir(exist_ok=True)
    torch.set_num_threads(settings.num_threads)
    torch.manual_seed(derive(settings.seed, "init"))
    fitted = fit(
        build(values["kind"], settings, num_classes=len(meta["classes"]), **shape),
        settings=settings,
        data=data,
        meta=meta,
        machine=load_machine(),
        state_file=own / "state.pt",
        title=name if read("replicates")["fits"] == 1 else f"{name}, replicate {replicate}",
    )
    return GeneratorMetadata(values["kind"], settings.model_dump(mode="json"), meta["classes"], **shape), fitted


if __name__ == "__main__":
    run(main)
