"""train@<model>-<arm>, finetune@..., student@...: every seed of a model on an arm -> data/runs/<model>-<arm>.

Beside it: data/curves/<model>-<arm>.csv. A finetune starts from another run, a student learns from others. With
--seed=N, the job of one seed, nothing is written: its weights wait in .touchstone for the stage, which gathers all.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.schema.tune import Tuned
from touchstone.data.folders import replaced
from touchstone.stage import SEED, run
from touchstone.training.load import load_run, run_fingerprint
from touchstone.training.loop import Trained
from touchstone.training.resume import mark_complete
from touchstone.training.run import curve, deliver, history_table, request_of, train

DATA, STATE = Path("data"), Path(".touchstone")


def main() -> dict[str, object]:
    model, arm, *part = sys.argv[1:]
    name = f"{model}-{arm}"
    found = Tuned.model_validate_json((DATA / f"tuned/{name}.json").read_text())
    where = {"data": DATA, "features": STATE / "features"}
    training_run = load_run(model, arm, machine=load_machine(), found=found, **where)
    stage = {"model": "train", "finetune": "finetune", "student": "student"}[training_run.settings.role]
    mark = run_fingerprint(stage, training_run, model=model, arm=arm)
    store, seeds = STATE / "train" / name, [int(one.removeprefix(SEED)) for one in part] or None
    trained = train(training_run, store=store, fingerprint=mark, seeds=seeds)
    if seeds:
        return _figures(trained)
    meta = json.loads((DATA / "prepared/meta.json").read_text())
    with replaced(DATA / "runs" / name) as folder:
        deliver(folder, training_run, trained, meta=meta)
        history_table(trained).to_csv(folder / "history.csv", index=False)
    (DATA / "curves").mkdir(exist_ok=True)
    curve(trained, left_out=training_run.failed_starts).to_csv(DATA / f"curves/{name}.csv", index=False)
    mark_complete(store, mark, request=request_of(training_run))
    return _figures(trained)


def _figures(trained: Sequence[Trained]) -> dict[str, object]:
    return {"images_per_second": [round(t.images_per_second) for t in trained]}


if __name__ == "__main__":
    run(main)
