"""synthesize@<generator>: data/generators/<generator> -> data/pools/<generator>, labelled images."""

import json
import shutil
import sys
from pathlib import Path

import torch

from touchstone.config import params
from touchstone.data.sheets import save_with_sheet
from touchstone.generators.files import load_generator
from touchstone.generators.sample import load_judge, synthesize
from touchstone.models.predict import device
from touchstone.stage import run
from touchstone.training.store import delivered, fingerprint, opened

DATA = Path("data")


def main() -> dict[str, object]:
    name = sys.argv[1]
    every = params.load()
    settings, machine = every.generator(name).sample, every.machine
    card, fit, module = load_generator(DATA / "generators" / name)
    known = [
        settings.model_dump_json(exclude={"per_class", "filter"}),
        card.sha256,
        (DATA / f"kinds/{name}.json").read_text(),
    ]
    asked = settings.model_dump_json()
    mark = fingerprint(__file__, *known, accelerator=machine.accelerator)
    scratch = opened(Path(".touchstone/synthesize") / name, mark, asked=asked)
    where = device(machine.accelerator, count=machine.devices)
    torch.set_num_threads(fit.num_threads)
    classifier = json.loads((DATA / f"filters/{name}.json").read_text())["classifier"]
    made = synthesize(
        module,
        settings=settings,
        classes=card.classes,
        name=name,
        num_threads=fit.num_threads,
        machine=machine,
        scratch=scratch,
        judge=load_judge(DATA / "encoder", classifier, device=where) if classifier else None,
    )
    save_with_sheet(DATA / "pools" / name, made.images, sheet_size=every.report.sheet)
    made.counts.to_csv(DATA / "pools" / name / "counts.csv", index=False)
    shutil.copyfile(DATA / f"losses/{name}.csv", DATA / "pools" / name / "losses.csv")  # there for the report
    delivered(scratch, asked)
    print(made.counts.to_string(index=False))
    return {"images": len(made.images)}


if __name__ == "__main__":
    run(main)
