"""predict@<run>: data/runs/<run> x splits -> data/probs/<run>/{val,test,unlabelled}.npy, diverged.json."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from touchstone.config import params
from touchstone.data.imageset import load, replaced
from touchstone.models.predict import device, probabilities
from touchstone.models.runs import load_card, load_nets
from touchstone.stage import run


def main() -> None:
    name = sys.argv[1]
    settings = params.load()
    torch.set_num_threads(settings.train.num_threads)
    card = load_card(Path("data/runs") / name)
    nets = load_nets(Path("data/runs") / name, card, device=device(settings.machine.accelerator))
    with replaced(Path("data/probs") / name) as folder:
        for split in ("val", "test", "unlabelled"):
            images = load(Path("data/prepared") / split)
            kind: Any = {"num_classes": len(card.classes), "multi_label": card.multi_label}
            probs = [probabilities(net, images, view=card.view, **kind) for net in nets]
            np.save(folder / f"{split}.npy", np.stack(probs))
        (folder / "diverged.json").write_text(json.dumps(card.diverged, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
