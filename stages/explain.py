"""data/runs x test images -> data/explained: where the attention of nets lies, and which pixels speak for a class."""

import json
from pathlib import Path
from typing import Any

import torch

from touchstone.config import params
from touchstone.data.imageset import load, read_files, replaced
from touchstone.data.labels import encode
from touchstone.data.sheets import spread
from touchstone.evaluation.probs import load_probs
from touchstone.explain.attention_maps import picture
from touchstone.explain.run import explain
from touchstone.models.nets import attends
from touchstone.models.predict import device
from touchstone.models.runs import load_card, load_first, load_nets
from touchstone.stage import run

DATA, PREPARED = Path("data"), Path("data/prepared")


def main() -> None:
    settings = params.load()
    torch.set_num_threads(settings.train.num_threads)
    models = [m for m in settings.trained if attends(settings.model(m).net)] if settings.explain.images else []
    with replaced(DATA / "explained") as folder:
        found = {name: attention(name, folder, settings) for model in models for name in settings.runs_of(model)}
        (folder / "attention.json").write_text(json.dumps(found, indent=2) + "\n")
        for name in settings.explain.runs if settings.explain.images or settings.explain.files else ():
            attributions(name, folder / "attributions" / name, settings)


def attention(name: str, folder: Path, settings: params.Params) -> dict[str, float]:
    """Draw where attention lies on some test images."""
    test = load(PREPARED / "test")
    rows = spread(test.table["label"].tolist(), settings.explain.images)
    first = load_first(DATA / "runs" / name, device=device(settings.machine.accelerator))
    drawing, table, figures = picture(*first, test.take(rows))
    drawing.save(folder / f"{name}.png")
    table.to_csv(folder / f"{name}.csv", index=False)
    return figures


def attributions(name: str, folder: Path, settings: params.Params) -> None:
    """Trace answers back to pixels, on the images that are chosen."""
    test, train = (load(PREPARED / split) for split in ("test", "train"))
    labels = encode(test.table, json.loads((PREPARED / "meta.json").read_text()))
    probs = load_probs(DATA / "probs", [name], "test")[name]
    given: Any = {"files": read_files(PREPARED, "test"), "settings": settings.explain, "seed": settings.seed}
    card = load_card(DATA / "runs" / name)
    nets = load_nets(DATA / "runs" / name, card, device=device(settings.machine.accelerator))
    explain(nets, card, probs, labels, test=test, train=train, **given).save(folder)


if __name__ == "__main__":
    run(main)
