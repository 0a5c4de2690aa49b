"""fit@<generator>: data/prepared/train -> data/generators/<generator>, data/losses/<generator>.csv."""

import json
import shutil
import sys
from pathlib import Path

import torch

from touchstone.config import params
from touchstone.config.sections import Arm
from touchstone.data.imageset import content_hash, load, replaced
from touchstone.data.training_set import combine
from touchstone.generators import build
from touchstone.generators.files import Card, save_generator
from touchstone.generators.fit import fit
from touchstone.models.predict import device
from touchstone.seeds import derive
from touchstone.stage import run
from touchstone.training.store import fingerprint, opened

DATA = Path("data")


def main() -> dict[str, object]:
    name = sys.argv[1]
    every = params.load()
    entry, machine = every.generator(name), every.machine
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    shape = {"channels": meta["channels"], "image_size": meta["image_size"]}
    known = [
        entry.fit.model_dump_json(),
        *((DATA / path).read_text() for path in (f"kinds/{name}.json", "prepared/meta.json")),
        content_hash(DATA / "prepared/train"),
    ]
    folder = opened(Path(".touchstone/fit") / name, fingerprint(__file__, *known, accelerator=machine.accelerator))
    device(machine.accelerator)  # one that is not there is an error before any work
    torch.set_num_threads(entry.fit.num_threads)
    torch.manual_seed(derive(entry.fit.seed, "init"))
    fitted = fit(
        build(entry.kind, entry.fit, num_classes=len(meta["classes"]), **shape),
        settings=entry.fit,
        data=combine(Arm(), train=load(DATA / "prepared/train"), additions=[], name=name),
        meta=meta,
        machine=machine,
        state_file=folder / "state.pt",
        title=name,
    )
    with replaced(DATA / "generators" / name) as new:
        card = Card(entry.kind, entry.fit.model_dump(mode="json"), meta["classes"], **shape)
        save_generator(new, card, fitted.weights, grids=fitted.grids)
    (DATA / "losses").mkdir(exist_ok=True)
    fitted.history.to_csv(DATA / f"losses/{name}.csv", index=False)
    shutil.rmtree(folder)
    return {"images_per_second": round(fitted.images_per_second)}


if __name__ == "__main__":
    run(main)
