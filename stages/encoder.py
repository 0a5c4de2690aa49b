"""data/prepared/train -> data/encoder: classifiers of the real training images, for the audit and for filters."""

import json
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.resolved import ENCODER
from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.data import Arm
from touchstone.config.schema.model import Model
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.data.replicates import of_replicate
from touchstone.data.training_set import combine
from touchstone.models.initial_weights import load_initial_weights
from touchstone.stage import run
from touchstone.training.resume import Apart, fingerprint, inputs, mark_complete
from touchstone.training.run import deliver, request_of, train
from touchstone.training.setup import set_up

DATA = Path("data")
STORE = Path(".touchstone/encoder")
OF_REPLICATES = "data/prepared/train/images.npy", "data/prepared/train/table.csv"


def main() -> None:
    machine = load_machine()
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    train_images, settings = load(DATA / "prepared/train"), load_settings(Model, f"models/{ENCODER}")
    first, *filters = settings.seeds
    images = {
        seed: combine(Arm(), train=of_replicate(train_images, number), name="encoder")
        for seed, number in ((first, 0), *zip(filters, range(len(filters)), strict=True))
    }
    training_run = set_up(
        "encoder",
        settings=settings,
        data=images[first],
        val=train_images.take([]),  # nothing is selected: the last weights count
        meta=meta,
        machine=machine,
        initial=load_initial_weights(DATA / f"pretrained/{ENCODER}.json"),
        replicates=images if len(filters) > 1 else None,
    )
    apart: Apart = dict.fromkeys(OF_REPLICATES) if training_run.replicates else {}
    apart[f"data/settings/models/{ENCODER}.json"] = ["seeds"]
    mark = fingerprint(inputs("encoder"), accelerator=machine.accelerator, apart=apart)
    trained = train(training_run, store=STORE, fingerprint=mark)
    with replaced(DATA / "encoder") as folder:
        deliver(folder, training_run, trained, meta=meta)
    mark_complete(STORE, mark, request=request_of(training_run))


if __name__ == "__main__":
    run(main)
