"""fit@<generator>: data/prepared/train -> data/generators/<generator>/<replicate>, data/losses/<generator>.csv.

The losses are means over the replicates. Nothing is fitted for images that were made elsewhere: how they are
prepared is noted, and there are no losses.
"""

import json
import shutil
import sys
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.resolved import read
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.generators.replicates import check_devices, fit_replicates, save_replicates, share_devices
from touchstone.stage import run
from touchstone.training.resume import OF_REPLICATES, fingerprint, inputs, mark_complete, open_checkpoint
from touchstone.training.shard import shard_of_process

import pandas as pd

DATA = Path("data")


def main() -> dict[str, object]:
    name = sys.argv[1]
    values = read(f"generators/{name}.fit")
    (DATA / "losses").mkdir(exist_ok=True)
    if values["fit"] is None:
        with replaced(DATA / "generators" / name) as new:
            shutil.copyfile(DATA / "prepared/meta.json", new / "meta.json")
        (DATA / f"losses/{name}.csv").write_text("step,loss\n")
        return {}
    machine, number = load_machine(), read("replicates")["fits"]
    check_devices(name, values["fit"], machine)  # before any work
    apart = dict.fromkeys((*OF_REPLICATES, "data/settings/replicates.json"))
    mark = fingerprint(inputs("fit", name=name), accelerator=machine.accelerator, apart=apart)
    store, request = Path(".touchstone/fit") / name, json.dumps(number)
    states = open_checkpoint(store, mark, request=request)
    share_devices(name, values["fit"])
    fits = fit_replicates(
        name,
        number,
        values=values,
        train=load(DATA / "prepared/train"),
        meta=json.loads((DATA / "prepared/meta.json").read_text()),
        machine=machine,
        store=states,
        pipeline=DATA / "pipelines" / name,
    )
    if shard_of_process() is not None:
        return {}
    with replaced(DATA / "generators" / name) as new:
        save_replicates(new, fits)
    history = pd.concat([fitted.history for _, fitted in fits]).groupby("step", as_index=False).mean()
    history.round(6).to_csv(DATA / f"losses/{name}.csv", index=False)
    if number == 1:
        shutil.rmtree(states)  # with several, the next replicate would not fit the others again
    else:
        mark_complete(store, mark, request=request)
    return {"images_per_second": [round(fitted.images_per_second) for _, fitted in fits if fitted.images_per_second]}


if __name__ == "__main__":
    run(main)
