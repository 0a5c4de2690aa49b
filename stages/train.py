"""train@<model>-<arm>: every seed of a model on an arm -> data/runs/<model>-<arm>, data/curves/<model>-<arm>.csv."""

import json
import sys
from pathlib import Path
from typing import Any

from touchstone import params
from touchstone.arms import assemble
from touchstone.imageset import content_hash, load, replaced
from touchstone.origin import read_origin
from touchstone.runs import Card, save_run
from touchstone.stage import run
from touchstone.training.run import curve, done, history_table, train
from touchstone.training.store import fingerprint
from touchstone.training.task import task

DATA = Path("data")
FEATURES = Path(".touchstone/features")


def main() -> dict[str, object]:
    model, arm = sys.argv[1:]
    name = f"{model}-{arm}"
    every = params.load()
    settings = every.model(model)
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    manifest = DATA / f"arms/{arm}.json"
    images = assemble(manifest, train=load(DATA / "prepared/train"), pools=DATA / "pools")
    val = load(DATA / "prepared/val")
    notes = manifest, DATA / f"pretrained/{model}.json", DATA / f"nets/{model}.json", DATA / "prepared/meta.json"
    more: Any = {"meta": meta, "machine": every.machine, "origin": read_origin(notes[1]), "features": FEATURES}
    job = task(name, settings=settings, data=images, val=val, **more)
    known = [
        settings.model_copy(update={"seeds": ()}).model_dump_json(),
        *(path.read_text() for path in notes),
        *(content_hash(DATA / "prepared" / split) for split in ("train", "val")),
    ]
    kept: Any = {
        "store": Path(".touchstone/train") / name,
        "fingerprint": fingerprint(__file__, *known, accelerator=every.machine.accelerator),
    }
    trained = train(job, **kept)
    with replaced(DATA / "runs" / name) as folder:
        steps = {str(t.seed): t.selected_step for t in trained}
        card = Card.of(settings, mean=job.mean, std=job.std, selected_step=steps, meta=meta)
        save_run(folder, card, {t.seed: t.weights for t in trained})
        history_table(trained).to_csv(folder / "history.csv", index=False)
    (DATA / "curves").mkdir(exist_ok=True)
    curve(trained).to_csv(DATA / f"curves/{name}.csv", index=False)
    done(job, **kept)
    return {"images_per_second": [round(t.images_per_second) for t in trained]}


if __name__ == "__main__":
    run(main)
