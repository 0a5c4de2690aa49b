"""synthesize@<generator>: data/generators/<generator> -> data/augmented/<generator>, labelled images.

Each replicate has those of its own generator. Images that were made elsewhere come from data/collected/<generator>.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from touchstone.config.machine import load_machine
from touchstone.config.resolved import read
from touchstone.data.imageset import load
from touchstone.data.sheets import save_with_sheet
from touchstone.generators import read_folder
from touchstone.generators.replicates import sample_replicates
from touchstone.stage import run
from touchstone.training.resume import OF_REPLICATES, Apart, fingerprint, inputs, mark_complete, open_checkpoint

DATA = Path("data")


def main() -> dict[str, object]:
    name = sys.argv[1]
    values, machine = read(f"generators/{name}.sample"), load_machine()
    # A block of samples depends on neither how many are wanted nor which are kept, nor on other replicates.
    apart: Apart = {
        "data/settings/sheet.json": None,
        f"data/settings/generators/{name}.sample.json": ["per_class", "filter"],
        f"data/filters/{name}.json": None,
        f"data/collected/{name}": None,
        f"data/generators/{name}": None,
        f"data/losses/{name}.csv": None,
        **dict.fromkeys(OF_REPLICATES),
    }
    mark = fingerprint(inputs("synthesize", name=name), accelerator=machine.accelerator, apart=apart)
    classifiers = json.loads((DATA / f"filters/{name}.json").read_text())["classifiers"]
    store, request = Path(".touchstone/synthesize") / name, json.dumps([values, classifiers])
    scratch = open_checkpoint(store, mark, request=request)
    where: dict[str, Any] = {"encoder": DATA / "encoder", "machine": machine, "scratch": scratch}
    if (meta := DATA / f"generators/{name}/meta.json").exists():
        packed = DATA / "collected" / name
        made = read_folder(name, classifiers, values=values, packed=packed, meta=json.loads(meta.read_text()), **where)
    else:
        where |= {"pipeline": DATA / "pipelines" / name, "train": load(DATA / "prepared/train")}
        made = sample_replicates(name, classifiers, values=values, generators=DATA / "generators" / name, **where)
    folder = DATA / "augmented" / name
    save_with_sheet(folder, made.images, sheet_size=read("sheet"), rows=made.rows)
    if made.files is not None:
        made.files.to_csv(folder / "files.csv", index=False, lineterminator="\n")
    made.counts.to_csv(folder / "counts.csv", index=False)
    for_report = {f"losses/{name}.csv": "losses.csv", f"pipelines/{name}/pipeline.json": "pipeline.json"}
    for file in for_report:
        if (DATA / file).exists():
            shutil.copyfile(DATA / file, folder / for_report[file])
    print(made.counts.to_string(index=False))
    if made.files is None:
        mark_complete(store, mark, request=request)
    else:
        shutil.rmtree(store)  # pixels that are decoded again as fast
    return {"images": len(made)}


if __name__ == "__main__":
    run(main)
