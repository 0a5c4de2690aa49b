"""train@<model>-<arm>, finetune@<model>-<arm>: every seed of a model on an arm -> data/runs/<model>-<arm>.

Beside it: data/curves/<model>-<arm>.csv, data/rates/<model>-<arm>.csv. A finetune starts from another run.
"""

import json
import sys
from pathlib import Path
from typing import Any

from touchstone.config import params
from touchstone.data.imageset import content_hash, load, replaced
from touchstone.data.labels import is_multi_label
from touchstone.data.training_set import assemble
from touchstone.models.starts import begin
from touchstone.stage import run
from touchstone.training.run import curve, deliver, done, history_table, train
from touchstone.training.store import fingerprint
from touchstone.training.task import task

DATA = Path("data")
FEATURES = Path(".touchstone/features")


def main() -> dict[str, object]:
    model, arm = sys.argv[1:]
    name = f"{model}-{arm}"
    every = params.load()
    settings, beginning, own = begin(every, model, DATA)
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    manifest = DATA / f"arms/{arm}.json"
    parts: Any = {"pools": DATA / "pools", "multi_label": is_multi_label(meta)}
    images = assemble(manifest, train=load(DATA / "prepared/train"), **parts)
    val = load(DATA / "prepared/val")
    more: Any = {"meta": meta, "machine": every.machine, "features": FEATURES} | beginning
    job = task(name, settings=settings, data=images, val=val, **more)
    known = [
        settings.model_copy(update={"seeds": ()}).model_dump_json(),
        *own,
        *(path.read_text() for path in (manifest, DATA / f"nets/{model}.json", DATA / "prepared/meta.json")),
        *(content_hash(DATA / "prepared" / split) for split in ("train", "val")),
    ]
    kept: Any = {
        "store": Path(".touchstone/train") / name,
        "fingerprint": fingerprint(__file__, *known, accelerator=every.machine.accelerator),
    }
    trained = train(job, **kept)
    with replaced(DATA / "runs" / name) as folder:
        deliver(folder, job, trained, meta=meta)
        history_table(trained).to_csv(folder / "history.csv", index=False)
    drawn = curve(trained, left_out=job.failed_starts)
    for kind, table in (("curves", drawn), ("rates", drawn[["step", "lr"]])):
        (DATA / kind).mkdir(exist_ok=True)
        table.to_csv(DATA / f"{kind}/{name}.csv", index=False)
    done(job, **kept)
    return {"images_per_second": [round(t.images_per_second) for t in trained]}


if __name__ == "__main__":
    run(main)
