"""synthesize@<generator>: data/generators/<generator> -> data/augmented/<generator>, labelled images."""

import json
import shutil
import sys
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.resolved import read
from touchstone.config.schema.generator import part_of
from touchstone.data.sheets import save_with_sheet
from touchstone.generators.files import load_generator
from touchstone.generators.sample import load_judge, synthesize
from touchstone.models.device import device
from touchstone.stage import run
from touchstone.training.resume import fingerprint, inputs, mark_complete, open_checkpoint

import torch

DATA = Path("data")


def main() -> dict[str, object]:
    name = sys.argv[1]
    values, machine = read(f"generators/{name}.sample"), load_machine()
    settings = part_of(values["kind"], "sample", values["sample"])
    metadata, fit, module = load_generator(DATA / "generators" / name)
    # A block of samples depends on neither how many are wanted nor which are kept.
    apart = {
        "data/settings/sheet.json": None,
        f"data/settings/generators/{name}.sample.json": ["per_class", "filter"],
        f"data/filters/{name}.json": None,
    }
    mark = fingerprint(inputs("synthesize", name=name), accelerator=machine.accelerator, apart=apart)
    store, request = Path(".touchstone/synthesize") / name, settings.model_dump_json()
    where = device(machine.accelerator, count=machine.devices)
    torch.set_num_threads(fit.num_threads)
    classifier = json.loads((DATA / f"filters/{name}.json").read_text())["classifier"]
    made = synthesize(
        module,
        settings=settings,
        classes=metadata.classes,
        name=name,
        num_threads=fit.num_threads,
        machine=machine,
        scratch=open_checkpoint(store, mark, request=request),
        judge=load_judge(DATA / "encoder", classifier, device=where) if classifier else None,
    )
    folder = DATA / "augmented" / name
    save_with_sheet(folder, made.images, sheet_size=read("sheet"))
    made.counts.to_csv(folder / "counts.csv", index=False)
    shutil.copyfile(DATA / f"losses/{name}.csv", folder / "losses.csv")  # for the report
    mark_complete(store, mark, request=request)
    print(made.counts.to_string(index=False))
    return {"images": len(made.images)}


if __name__ == "__main__":
    run(main)
