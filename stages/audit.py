"""data/pools x real images -> metrics/audit.json, data/audit/<set>.{png,csv}: what each addition set is worth."""

import json
from pathlib import Path

import torch
from tqdm import tqdm

from touchstone.audit.features import Eye
from touchstone.audit.nearest import nearest
from touchstone.audit.sets import audit, real, rounded
from touchstone.config import params
from touchstone.data.imageset import load, replaced
from touchstone.models.predict import device
from touchstone.models.runs import load_card, load_nets
from touchstone.stage import run

DATA = Path("data")


def main() -> None:
    every = params.load()
    torch.set_num_threads(every.train.num_threads)
    card = load_card(DATA / "encoder")
    encoder = load_nets(DATA / "encoder", card, device=device(every.machine.accelerator))[0]
    eye = Eye(encoder, view=card.view, meta={"classes": card.classes, "multi_label": card.multi_label})
    train, test = eye.focus(load(DATA / "prepared/train")), eye.see(load(DATA / "prepared/test"))
    known = real(train, test, settings=every.audit)
    hashes = {"encoder": {"sha256": card.weights[str(every.audit.seed)], "test_accuracy": rounded(test.agreement)}}
    figures = {}
    with replaced(DATA / "audit") as folder:
        nearest(test, train).to_csv(folder / "test-nearest.csv", index=False)
        for name in tqdm(every.additions, desc="audit", unit="set", disable=None):
            found = audit(eye.see(load(DATA / "pools" / name)), known, settings=every.audit)
            figures[name] = found.figures
            found.gallery.save(folder / f"{name}.png")
            found.pairs.to_csv(folder / f"{name}.csv", index=False)
            print(f"{name}: {found.figures['verdict']}. {found.figures['reasons']}")
    Path("metrics").mkdir(exist_ok=True)
    text = json.dumps({"sets": figures} | hashes, indent=2, sort_keys=True)
    Path("metrics/audit.json").write_text(text + "\n")


if __name__ == "__main__":
    run(main)
