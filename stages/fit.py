"""fit@<generator>: data/prepared/train -> data/generators/<generator>, data/losses/<generator>.csv."""

import json
import shutil
import sys
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.resolved import read
from touchstone.config.schema.data import Arm
from touchstone.config.schema.generator import part_of
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.data.training_set import combine
from touchstone.generators import build
from touchstone.generators.files import GeneratorMetadata, save_generator
from touchstone.generators.fit import fit
from touchstone.models.device import device
from touchstone.seeds import derive
from touchstone.stage import run
from touchstone.training.resume import fingerprint, inputs, open_checkpoint

import torch

DATA = Path("data")


def main() -> dict[str, object]:
    name = sys.argv[1]
    values, machine = read(f"generators/{name}.fit"), load_machine()
    kind, settings = values["kind"], part_of(values["kind"], "fit", values["fit"])
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    shape = {"channels": meta["channels"], "image_size": meta["image_size"]}
    mark = fingerprint(inputs("fit", name=name), accelerator=machine.accelerator)
    folder = open_checkpoint(Path(".touchstone/fit") / name, mark)
    device(machine.accelerator)  # one that is not there is an error before any work
    torch.set_num_threads(settings.num_threads)
    torch.manual_seed(derive(settings.seed, "init"))
    fitted = fit(
        build(kind, settings, num_classes=len(meta["classes"]), **shape),
        settings=settings,
        data=combine(Arm(), train=load(DATA / "prepared/train"), name=name),
        meta=meta,
        machine=machine,
        state_file=folder / "state.pt",
        title=name,
    )
    with replaced(DATA / "generators" / name) as new:
        metadata = GeneratorMetadata(kind, settings.model_dump(mode="json"), meta["classes"], **shape)
        save_generator(new, metadata, fitted.weights, grids=fitted.grids)
    (DATA / "losses").mkdir(exist_ok=True)
    fitted.history.to_csv(DATA / f"losses/{name}.csv", index=False)
    shutil.rmtree(folder)
    return {"images_per_second": round(fitted.images_per_second)}


if __name__ == "__main__":
    run(main)
