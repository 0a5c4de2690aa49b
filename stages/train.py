"""train@<model>-<arm>, finetune@<model>-<arm>: every seed of a model on an arm -> data/runs/<model>-<arm>.

Beside it: data/curves/<model>-<arm>.csv, data/rates/<model>-<arm>.csv. A finetune starts from another run.
"""

import json
import sys
from pathlib import Path
from typing import Any

from touchstone.config.machine import load_machine
from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.model import Model
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.data.labels import is_multi_label
from touchstone.data.replicates import of_replicate
from touchstone.data.training_set import assemble
from touchstone.models.initial_weights import load_initial_weights
from touchstone.stage import run
from touchstone.training.resume import OF_REPLICATES, Apart, fingerprint, inputs, mark_complete
from touchstone.training.run import curve, deliver, history_table, request_of, train
from touchstone.training.setup import set_up

DATA, STATE = Path("data"), Path(".touchstone")


def main() -> dict[str, object]:
    model, arm = sys.argv[1:]
    name = f"{model}-{arm}"
    machine = load_machine()
    settings = load_settings(Model, f"models/{model}")
    if settings.init_from:
        initial = load_initial_weights(DATA / f"starts/{model}.json", runs=DATA / "runs")
    else:
        settings = settings.with_lr(json.loads((DATA / f"lr/{model}.json").read_text())["lr"])
        initial = load_initial_weights(DATA / f"pretrained/{model}.json")
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    parts: Any = {"augmented": DATA / "augmented", "multi_label": is_multi_label(meta)}
    train_images, val = (load(DATA / "prepared" / split) for split in ("train", "val"))
    images = assemble(DATA / f"arms/{arm}.json", train=train_images, replicates=settings.seeds, **parts)
    num_real, num_images = len(of_replicate(train_images, 0)), len(images[settings.seeds[0]])
    settings = settings.on_images(num_images, num_real=num_real)
    more: Any = {"meta": meta, "machine": machine, "features": STATE / "features", "initial": initial}
    training_run = set_up(name, settings=settings, data=images, val=val, **more)
    # Each seed has a folder of its own: what differs between seeds invalidates no other seed.
    apart: Apart = {f"data/settings/models/{model}.json": ["seeds"]}
    apart |= {f"data/starts/{model}.json": ["sha256", "diverged", "normalisations"]} if settings.init_from else {}
    apart |= {f"data/arms/{arm}.json": ["sha256"]} | dict.fromkeys(OF_REPLICATES) if training_run.replicates else {}
    stage = "finetune" if settings.init_from else "train"
    mark = fingerprint(inputs(stage, model=model, arm=arm), accelerator=machine.accelerator, apart=apart)
    trained = train(training_run, store=(store := STATE / "train" / name), fingerprint=mark)
    with replaced(DATA / "runs" / name) as folder:
        deliver(folder, training_run, trained, meta=meta)
        history_table(trained).to_csv(folder / "history.csv", index=False)
    drawn = curve(trained, left_out=training_run.failed_starts)
    for kind, table in (("curves", drawn), ("rates", drawn[["step", "lr"]])):
        (DATA / kind).mkdir(exist_ok=True)
        table.to_csv(DATA / f"{kind}/{name}.csv", index=False)
    mark_complete(store, mark, request=request_of(training_run))
    return {"images_per_second": [round(t.images_per_second) for t in trained]}


if __name__ == "__main__":
    run(main)
