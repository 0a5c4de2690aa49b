"""train@<model>-<arm>: every seed of a model on an arm -> data/runs/<model>-<arm>, data/curves/<model>-<arm>.csv."""

import json
import sys
from pathlib import Path
from typing import Any

from touchstone import params
from touchstone.arms import assemble
from touchstone.imageset import content_hash, load, replaced
from touchstone.runs import Card, save_run
from touchstone.stage import run
from touchstone.training.run import curve, delivered, history_table, task, train
from touchstone.training.store import fingerprint

DATA = Path("data")


def main() -> dict[str, object]:
    model, arm = sys.argv[1:]
    name = f"{model}-{arm}"
    every = params.load()
    settings = every.model(model)
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    manifest = DATA / f"arms/{arm}.json"
    images = assemble(manifest, train=load(DATA / "prepared/train"), pools=DATA / "pools")
    val = load(DATA / "prepared/val")
    job = task(name, settings=settings, data=images, val=val, meta=meta, machine=every.machine)
    known = [
        settings.model_copy(update={"seeds": ()}).model_dump_json(),
        *(path.read_text() for path in (manifest, DATA / f"nets/{model}.json", DATA / "prepared/meta.json")),
        *(content_hash(DATA / "prepared" / split) for split in ("train", "val")),
    ]
    kept: Any = {
        "store": Path(".touchstone/train") / name,
        "fingerprint": fingerprint(__file__, *known, accelerator=every.machine.accelerator),
    }
    trained = train(job, **kept)
    with replaced(DATA / "runs" / name) as folder:
        steps = {str(t.seed): t.selected_step for t in trained}
        save_run(folder, Card.of(job, selected_step=steps, meta=meta), {t.seed: t.weights for t in trained})
        history_table(trained).to_csv(folder / "history.csv", index=False)
    (DATA / "curves").mkdir(exist_ok=True)
    curve(trained).to_csv(DATA / f"curves/{name}.csv", index=False)
    delivered(job, **kept)
    return {"images_per_second": [round(t.images_per_second) for t in trained]}


if __name__ == "__main__":
    run(main)
