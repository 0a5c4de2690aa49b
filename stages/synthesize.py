"""synthesize@<generator>: data/generators/<generator> -> data/augmented/<generator>, labelled images.

Each replicate has those of its own generator.
"""

import json
import shutil
import sys
from pathlib import Path

from touchstone.config.machine import load_machine
from touchstone.config.resolved import read
from touchstone.config.schema.generator import part_of
from touchstone.data.sheets import save_with_sheet
from touchstone.generators.files import load_generator
from touchstone.generators.sample import Synthesized, load_judge, merged, synthesize
from touchstone.models.device import device
from touchstone.seeds import replicate_seed
from touchstone.stage import run
from touchstone.training.resume import Apart, fingerprint, inputs, mark_complete, open_checkpoint

import torch

DATA = Path("data")


def main() -> dict[str, object]:
    name = sys.argv[1]
    # A block of samples depends on neither how many are wanted nor which are kept, nor on other replicates.
    apart: Apart = {
        "data/settings/sheet.json": None,
        f"data/settings/generators/{name}.sample.json": ["per_class", "filter"],
        f"data/filters/{name}.json": None,
        f"data/generators/{name}": None,
        f"data/losses/{name}.csv": None,
    }
    mark = fingerprint(inputs("synthesize", name=name), accelerator=load_machine().accelerator, apart=apart)
    classifiers = json.loads((DATA / f"filters/{name}.json").read_text())["classifiers"]
    request = json.dumps([read(f"generators/{name}.sample"), classifiers])
    store = Path(".touchstone/synthesize") / name
    scratch = open_checkpoint(store, mark, request=request)
    parts = [sample(name, replicate, classifier, scratch) for replicate, classifier in enumerate(classifiers)]
    made = merged(parts)
    folder = DATA / "augmented" / name
    save_with_sheet(folder, made.images, sheet_size=read("sheet"))
    made.counts.to_csv(folder / "counts.csv", index=False)
    shutil.copyfile(DATA / f"losses/{name}.csv", folder / "losses.csv")  # for the report
    mark_complete(store, mark, request=request)
    print(made.counts.to_string(index=False))
    return {"images": len(made.images)}


def sample(name: str, replicate: int, classifier: str | None, scratch: Path) -> Synthesized:
    """Sample the added images of a replicate."""
    values, machine = read(f"generators/{name}.sample"), load_machine()
    settings = part_of(values["kind"], "sample", values["sample"])
    settings = settings.model_copy(update={"seed": replicate_seed(settings.seed, replicate)})
    metadata, fit, module = load_generator(DATA / "generators" / name / str(replicate))
    torch.set_num_threads(fit.num_threads)
    where = device(machine.accelerator, count=machine.devices)
    return synthesize(
        module,
        settings=settings,
        classes=metadata.classes,
        name=name,
        num_threads=fit.num_threads,
        machine=machine,
        scratch=scratch / f"{replicate}-{metadata.sha256[:16]}",
        judge=load_judge(DATA / "encoder", classifier, device=where) if classifier else None,
    )


if __name__ == "__main__":
    run(main)
