"""predict@<run>: data/runs/<run> x splits -> data/probs/<run>/{val,test,unlabelled}.npy, diverged.json."""

import json
import sys
from pathlib import Path
from typing import Any

from touchstone.config.machine import load_machine
from touchstone.config.resolved import load as load_settings
from touchstone.config.schema.model import Model
from touchstone.data.folders import replaced
from touchstone.data.imageset import load
from touchstone.models.device import device
from touchstone.models.predict import probabilities
from touchstone.models.runs import load_nets, load_run_metadata
from touchstone.stage import run

import numpy as np
import torch


def main() -> None:
    model, arm = sys.argv[1:]
    name = f"{model}-{arm}"
    torch.set_num_threads(load_settings(Model, f"models/{model}").num_threads)
    metadata = load_run_metadata(Path("data/runs") / name)
    nets = load_nets(Path("data/runs") / name, metadata, device=device(load_machine().accelerator))
    with replaced(Path("data/probs") / name) as folder:
        for split in ("val", "test", "unlabelled"):
            images = load(Path("data/prepared") / split)
            kind: Any = {"num_classes": len(metadata.classes), "multi_label": metadata.multi_label}
            probs = [probabilities(net, images, view=metadata.view, **kind) for net in nets]
            np.save(folder / f"{split}.npy", np.stack(probs))
        (folder / "diverged.json").write_text(json.dumps(metadata.diverged, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
