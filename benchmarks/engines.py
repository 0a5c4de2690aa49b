"""The two engines over a grid of batch sizes and data sets: accuracy and loss against epoch and against seconds.

    python benchmarks/engines.py --data FOLDER --out docs/pictures       # FOLDER holds train/<class>/*

The comparison of study A: C3 on small scenes, batch 16, 32, 64 and 128, data sets 1 to 3 (the real images and the fixed
transforms mod1, mod1 and mod2, mod1 to mod3), in Lightning and in a plain loop. A fifth of the training images is held
out and validated after each epoch; the test images take no part. The engines give the same weights to the bit, which is
asserted for each cell: against epochs their curves are one, and what differs is seconds. The engines take turns, cell
by cell. Writes engines.csv (a row an epoch) and engines.png; prints the table. Figures: docs/studies/optimizers.md.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import touchstone  # noqa: F401  # settings of threads and memory, before torch
from touchstone.config.load import resolve_model

# isort: split
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from touchstone.config.load import load as load_params
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.decode import decode
from touchstone.data.imageset import ImageSet
from touchstone.data.ops.resize import resize
from touchstone.data.training_set import TrainingSet, combine
from touchstone.data.transforms import transform
from touchstone.training import lightning  # noqa: F401  # imported once, not in the seconds of the first cell
from touchstone.training.loop import Trained, train_seed
from touchstone.training.setup import set_up

ENGINES = ("lightning", "torch")
BATCHES = (16, 32, 64, 128)
MODS = ("mod1", "mod2", "mod3")
RECIPE = Path(__file__).parents[1] / "recipes/grid/params.yaml"


def images(folder: Path, size_px: int) -> tuple[ImageSet, ImageSet]:
    """The first four fifths of each class by name, and the rest."""
    pixels, rows = [], []
    for file in sorted(folder.glob("train/*/*")):
        with open(file, "rb") as opened:
            pixels.append(resize(decode(opened, channels=3, max_pixels=10**8), size_px=size_px, mode="squash"))
        rows.append({"id": file.stem, "label": file.parent.name, "source_id": file.stem, "origin": "real"})
    if not rows:
        sys.exit(f"{folder}: no train/<class>/* in it")
    table = pd.DataFrame(rows)
    place = table.groupby("label").cumcount() / table.groupby("label")["id"].transform("size")
    held_out = (place >= 0.8).to_numpy()
    every = np.stack(pixels)
    parts = [ImageSet(every[rows], table[rows].reset_index(drop=True)) for rows in (~held_out, held_out)]
    return parts[0], parts[1]


def data_sets(train: ImageSet) -> dict[str, TrainingSet]:
    """dataset1, dataset2, dataset3."""
    known = load_params(RECIPE).transforms
    made = []
    for name in MODS:
        lazy = transform(train, name=name, settings=known[name])
        made.append(ImageSet(lazy.images[np.arange(len(lazy))], lazy.table))
    return {
        f"dataset{k}": combine(Arm(add=MODS[:k]), train=train, added_sets=made[:k], name=f"dataset{k}")
        for k in (1, 2, 3)
    }


def cell(engine: str, batch: int, data: TrainingSet, val: ImageSet, arguments: argparse.Namespace) -> tuple:
    """The result of one run, and the seconds at the end of each epoch."""
    settings = {"net": "c3", "input_size": arguments.size, "batch_size": batch, "epochs": arguments.epochs}
    settings |= {"lr": 0.002, "engine": engine, "select": "last", "num_threads": arguments.threads}
    one = set_up(
        f"{engine} {batch}",
        settings=resolve_model(settings),
        data=data,
        val=val,
        meta={"classes": sorted(set(data.table["label"])), "image_size": arguments.size},
        machine=Machine(accelerator="cpu"),
    )
    seconds: list[float] = []

    def on_step(step: int) -> None:
        if one.is_eval(step):
            seconds.append(time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = train_seed(one, seed=0, state_file=Path(folder) / "state.pt", on_step=on_step)
    return done, seconds


def same(one: Trained, two: Trained) -> bool:
    return all(torch.equal(value, two.weights[name]) for name, value in one.weights.items())


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """A row an epoch of every cell and engine."""
    train, val = images(arguments.data, arguments.size)
    rows = []
    sets = data_sets(train)
    for turn, (batch, name) in enumerate((b, n) for b in BATCHES for n in sets):
        done = {}
        for engine in ENGINES[:: 1 if turn % 2 else -1]:
            done[engine], seconds = cell(engine, batch, sets[name], val, arguments)
            for row, second in zip(done[engine].history, seconds, strict=True):
                rows.append({"batch": batch, "data": name, "engine": engine, **row, "seconds": round(second, 2)})
            print(f"batch {batch}, {name}, {engine}: {seconds[-1]:.1f} s", file=sys.stderr)
        assert same(*done.values()), "the engines' weights differ"
    return pd.DataFrame(rows)


def report(found: pd.DataFrame) -> str:
    """The table: a row a cell."""
    ends = found.groupby(["batch", "data", "engine"]).last().unstack("engine")
    lines = ["| batch | data | val. accuracy | train. loss | s, lightning | s, torch | ratio |"]
    lines += ["|---:|---|---:|---:|---:|---:|---:|"]
    for (batch, data), row in ends.iterrows():
        slow, quick = row["seconds"]["lightning"], row["seconds"]["torch"]
        accuracy, loss = row["val_accuracy"]["torch"], row["train_loss"]["torch"]
        lines.append(
            f"| {batch} | {data} | {accuracy:.3f} | {loss:.3f} | {slow:.1f} | {quick:.1f} | {slow / quick:.2f} |"
        )
    total = found.groupby(["engine", "batch", "data"])["seconds"].max().groupby("engine").mean()
    lines += ["", f"Mean of the cells: lightning {total['lightning']:.1f} s, torch {total['torch']:.1f} s, ratio "]
    lines[-1] += f"{total['lightning'] / total['torch']:.3f}."
    return "\n".join(lines)


def draw(found: pd.DataFrame, file: Path) -> None:
    """Accuracy and loss against epochs and seconds: a column a batch size, a colour a data set, a dash an engine."""
    kinds = [(y, x) for y in ("val_accuracy", "train_loss") for x in ("epoch", "seconds")]
    figure, axes = plt.subplots(len(kinds), len(BATCHES), figsize=(13, 11), sharey="row", layout="constrained")
    for column, batch in enumerate(BATCHES):
        for row, (y, x) in enumerate(kinds):
            axis = axes[row, column]
            for i, (name, part) in enumerate(found[found["batch"] == batch].groupby("data")):
                for engine, style in (("lightning", "-"), ("torch", ":")):
                    line = part[part["engine"] == engine]
                    axis.plot(line[x], line[y], style, color=f"C{i}", label=f"{name}, {engine}")
            axis.set_xlabel(x)
            axis.set_ylabel(y.replace("_", " ") if column == 0 else "")
            if y == "train_loss":
                axis.set_yscale("log")
        axes[0, column].set_title(f"batch {batch}")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=90, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds train/<class>/*")
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--size", type=int, default=144, help="px; the study's are 256")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = measure(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found.round(6).to_csv(arguments.out / "engines.csv", index=False)
    draw(found, arguments.out / "engines.png")
    print(report(found))


if __name__ == "__main__":
    main()
