"""data/prepared/train -> data/encoder: classifiers of the real training images, for the audit and for filters.

They judge generated images. Where there is no generator, its settings are null: nothing is trained.
"""

import json
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.resolved import ENCODER, read
from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.data import Arm
from touchstone.config.schema.model import Model
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.data.replicates import of_replicate
from touchstone.data.training_set import combine
from touchstone.models.initial_weights import load_initial_weights
from touchstone.stage import run
from touchstone.training.resume import OF_REPLICATES, Apart, fingerprint, inputs, mark_complete
from touchstone.training.run import deliver, request_of, train
from touchstone.training.setup import set_up

DATA = Path("data")
STORE = Path(".touchstone/encoder")


def main() -> None:
    if read(f"models/{ENCODER}") is None:
        with replaced(DATA / "encoder") as folder:
            (folder / "model.json").write_text(json.dumps({"weights": {}}) + "\n")
        return
    machine = load_machine()
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    train_images, settings = load(DATA / "prepared/train"), load_settings(Model, f"models/{ENCODER}")
    # The first seed and the filter of the first replicate have the same images, each other filter its replicate's own.
    numbers = [0, *range(len(settings.seeds) - 1)]
    sets = [combine(Arm(), train=of_replicate(train_images, number), name="encoder") for number in sorted({*numbers})]
    images = {seed: sets[number] for seed, number in zip(settings.seeds, numbers, strict=True)}
    training_run = set_up(
        "encoder",
        settings=settings,
        data=images,
        val=train_images.take([]),  # nothing is selected: the last weights count
        meta=meta,
        machine=machine,
        initial=load_initial_weights(DATA / f"pretrained/{ENCODER}.json"),
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
