"""data/runs x test images -> data/explained/<run>.{png,csv}, attention.json: where the attention of nets lies."""

import json
from dataclasses import replace
from pathlib import Path

from touchstone import params
from touchstone.figures import spread
from touchstone.imageset import ImageSet, load, replaced
from touchstone.models import attends
from touchstone.stage import run

DATA = Path("data")


def main() -> None:
    settings = params.load()
    test = load(DATA / "prepared/test")
    rows = spread(test.table["label"].tolist(), settings.explain.images)
    chosen = ImageSet(test.images[rows], test.table.iloc[rows].reset_index(drop=True))
    attentive = [name for name in settings.trained if attends(settings.model(name).net)] if rows else []
    with replaced(DATA / "explained") as folder:
        found = {
            name: explain(name, chosen, folder, settings) for model in attentive for name in settings.runs_of(model)
        }
        (folder / "attention.json").write_text(json.dumps(found, indent=2) + "\n")


def explain(name: str, chosen: ImageSet, folder: Path, settings: params.Params) -> dict[str, float]:
    """Write the picture and the data of a run's first seed; say how many patches there are, and their shares."""
    import numpy as np
    import torch

    from touchstone.attention_maps import drawn, maps, table  # here: they need torch, which most nets do not call for
    from touchstone.predict import batches, device
    from touchstone.runs import load_card, load_nets

    torch.set_num_threads(settings.train.num_threads)
    card = load_card(DATA / "runs" / name)
    card = replace(card, weights=dict([*card.weights.items()][:1]))
    [first] = load_nets(DATA / "runs" / name, card, device=device(settings.machine.accelerator))
    seen = [pixels[:, -1] if card.crop_size else pixels for pixels in batches(chosen, card.view)]  # of five, the centre
    found = np.concatenate([maps(first, pixels) for pixels in seen])
    drawn(np.concatenate([pixels.numpy() for pixels in seen]), found).save(folder / f"{name}.png")
    table(found, chosen.table["id"].tolist()).to_csv(folder / f"{name}.csv", index=False)
    return {"patches": found[0].size, "least": round(float(found.min()), 6), "most": round(float(found.max()), 6)}


if __name__ == "__main__":
    run(main)
