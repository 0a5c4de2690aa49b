"""data/prepared/train -> data/encoder: classifiers of the real training images, for the audit and for filters."""

import json
from pathlib import Path
from typing import Any

from touchstone.config import params
from touchstone.config.model import Model
from touchstone.config.sections import Arm
from touchstone.data.imageset import ImageSet, content_hash, load, replaced
from touchstone.data.training_set import combine
from touchstone.stage import run
from touchstone.training.run import deliver, done, train
from touchstone.training.store import fingerprint
from touchstone.training.task import task

DATA = Path("data")


def main() -> None:
    machine = params.load().machine
    note = (DATA / "nets/audit-encoder.json").read_text()  # of params.yaml what counts here, and the net's hash
    fields = {key: value for key, value in json.loads(note).items() if key != "sha256"}
    settings = Model.model_validate_json(json.dumps(fields))
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    real = load(DATA / "prepared/train")
    images = combine(Arm(), train=real, additions=[], name="encoder")
    nobody = ImageSet(real.images[:0], real.table[:0])  # no selection: its last weights
    job = task("encoder", settings=settings, data=images, val=nobody, meta=meta, machine=machine)
    known = [note, (DATA / "prepared/meta.json").read_text(), content_hash(DATA / "prepared/train")]
    kept: Any = {
        "store": Path(".touchstone/encoder"),
        "fingerprint": fingerprint(__file__, *known, accelerator=machine.accelerator),
    }
    trained = train(job, **kept)
    with replaced(DATA / "encoder") as folder:
        deliver(folder, job, trained, meta=meta)
    done(job, **kept)


if __name__ == "__main__":
    run(main)
