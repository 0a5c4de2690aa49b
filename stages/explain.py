"""data/runs x test images and own pictures -> data/explained: attention maps, attributions of predictions to pixels."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from touchstone.config.machine import load_machine
from touchstone.config.settings import Settings, load_settings
from touchstone.data.folders import replaced
from touchstone.data.imageset import load, read_files
from touchstone.data.labels import encode
from touchstone.data.replicates import of_replicate
from touchstone.data.sheets import spread
from touchstone.evaluation.probs import load_probs
from touchstone.explain.attention_maps import save_picture
from touchstone.explain.pictures import pictures_of
from touchstone.explain.resumed import resumed_folders
from touchstone.explain.run import explain
from touchstone.models.device import device
from touchstone.models.nets import attends
from touchstone.models.runs import load_first, load_nets, load_run_metadata
from touchstone.stage import run
from touchstone.training.resume import fingerprint, inputs

import torch

SETTINGS = ("arms", "explain", "finetunes", "models", "seed", "students")
DATA, PREPARED, STORE = Path("data"), Path("data/prepared"), Path(".touchstone/explain")


def main() -> None:
    settings = load_settings("explain")
    models = [m for m in settings.trained if attends(settings.trained[m].net)] if settings.explain.images else []
    with replaced(DATA / "explained") as folder:
        figures = {name: attention(name, folder, settings) for model in models for name in settings.runs_of(model)}
        (folder / "attention.json").write_text(json.dumps(figures, indent=2) + "\n")
        if settings.explain.attributes:
            mark = fingerprint(inputs("explain"), accelerator=load_machine().accelerator)
            make = partial(attributions, settings=settings)
            resumed_folders(settings.explain.runs, make, to=folder / "attributions", store=STORE, fingerprint=mark)


def attention(name: str, folder: Path, settings: Settings) -> dict[str, float]:
    """Draw the attention of a run over some test images."""
    torch.set_num_threads(settings.trained[name.rsplit("-", 1)[0]].num_threads)
    rows = spread((test := load(PREPARED / "test")).table["label"].tolist(), settings.explain.images)
    first = load_first(DATA / "runs" / name, device=device(load_machine().accelerator))
    return save_picture(folder / name, first, test.take(rows))


def attributions(name: str, folder: Path, *, settings: Settings) -> None:
    """Attribute the predictions of a run to pixels, on the images that are chosen."""
    torch.set_num_threads(settings.trained[name.rsplit("-", 1)[0]].num_threads)
    test, train = load(PREPARED / "test"), of_replicate(load(PREPARED / "train"), 0)
    labels = encode(test.table, json.loads((PREPARED / "meta.json").read_text()))
    probs = load_probs(DATA / "probs", [name], "test")[name]
    given: Any = {"files": read_files(PREPARED, "test"), "settings": settings.explain, "seed": settings.seed}
    metadata = load_run_metadata(DATA / "runs" / name)
    given["pictures"] = pictures_of(settings.explain, metadata)
    nets = load_nets(DATA / "runs" / name, metadata, device=device(load_machine().accelerator))
    explain(nets, metadata, probs, labels, test=test, train=train, title=name, **given).save(folder)


if __name__ == "__main__":
    run(main)
