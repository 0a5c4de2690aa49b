"""data/prepared/train -> data/encoder: classifiers of the real training images, for the audit and for filters."""

import json
from pathlib import Path
from typing import Any

from touchstone import params
from touchstone.arms import combine
from touchstone.imageset import ImageSet, content_hash, load, replaced
from touchstone.runs import Card, save_run
from touchstone.sections import Arm
from touchstone.stage import run
from touchstone.training.run import delivered, task, train
from touchstone.training.store import fingerprint

DATA = Path("data")


def main() -> None:
    every = params.load()
    settings = every.encoder()
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    real = load(DATA / "prepared/train")
    images = combine(Arm(), train=real, additions=[], name="encoder")
    nobody = ImageSet(real.images[:0], real.table[:0])  # no selection: its last weights
    job = task("encoder", settings=settings, data=images, val=nobody, meta=meta, machine=every.machine)
    known = [
        settings.model_dump_json(),
        *((DATA / path).read_text() for path in ("nets/audit-encoder.json", "prepared/meta.json")),
        content_hash(DATA / "prepared/train"),
    ]
    kept: Any = {
        "store": Path(".touchstone/encoder"),
        "fingerprint": fingerprint(__file__, *known, accelerator=every.machine.accelerator),
    }
    trained = train(job, **kept)
    with replaced(DATA / "encoder") as folder:
        steps = {str(t.seed): t.selected_step for t in trained}
        save_run(folder, Card.of(job, selected_step=steps, meta=meta), {t.seed: t.weights for t in trained})
    delivered(job, **kept)


if __name__ == "__main__":
    run(main)
