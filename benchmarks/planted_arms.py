"""Counts how often the right word is said of arms whose effect is known by construction, on real nets.

    dvc repro prepare
    python benchmarks/planted_arms.py --jobs 2

The default's models are trained, with its settings, on `--replicates` draws of 200 images from its 1,000, and on arms
that add 200 images to each draw:

    more      further real images of the 1,000: it must help
    copies    the same images again: nothing is new in them
    shifted   the same images, moved by a quarter of the side in a random direction: no such image is in the test set
    noise     further real images under wrong labels: it must hurt

Studies of `--seeds` replicates each are drawn from these without replacement, on test images drawn with replacement,
and all arms of a model are judged together. gain: of all replicates on all test images, in points, and its sd over the
replicates. Two draws share a fifth of their images, which no study corrects here. Figures: docs/evidence.md.
"""

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from touchstone.config.load import load as load_params
from touchstone.config.schema.data import Arm
from touchstone.config.schema.machine import Machine
from touchstone.data.imageset import ImageSet, load  # before NumPy, whose arithmetic touchstone ties
from touchstone.data.labels import encode
from touchstone.data.training_set import combine
from touchstone.evaluation.compare import compare_paired, judge, paired_accuracy
from touchstone.models.predict import batches, logits
from touchstone.seeds import generator
from touchstone.training.classifier import build_classifier
from touchstone.training.loop import train_seed
from touchstone.training.setup import set_up

# isort: split
import json

import numpy as np
import pandas as pd
import torch

ARMS, NUM_IMAGES = ("real", "more", "copies", "shifted", "noise"), 200


def images_of(arm: str, pool: ImageSet, replicate: int) -> ImageSet:
    """The training images of a replicate on an arm."""
    rows = generator(replicate, "planted").permutation(len(pool))
    base, further = pool.take(rows[:NUM_IMAGES].tolist()), pool.take(rows[NUM_IMAGES : 2 * NUM_IMAGES].tolist())
    if arm == "real":
        return base
    added = further if arm in ("more", "noise") else base
    pixels, table, rng = np.array(added.images), added.table.copy(), generator(replicate, arm)
    if arm == "noise":
        classes = sorted(set(pool.table["label"]))
        places = table["label"].map({name: i for i, name in enumerate(classes)}).to_numpy()
        wrong = (places + rng.integers(1, len(classes), len(places))) % len(classes)
        table["label"] = [classes[i] for i in wrong]
    if arm == "shifted":
        side = pixels.shape[1]
        for i, (axis, sign) in enumerate(
            zip(rng.integers(2, size=len(pixels)), rng.choice([-1, 1], len(pixels)), strict=True)
        ):
            moved = np.roll(pixels[i], sign * side // 4, axis)
            edge = slice(0, side // 4) if sign > 0 else slice(side - side // 4, side)
            moved[(edge, slice(None)) if axis == 0 else (slice(None), edge)] = 0
            pixels[i] = moved
    return ImageSet(np.concatenate([base.images, pixels]), pd.concat([base.table, table], ignore_index=True))


def right_answers(task: tuple[str, int, str, Path]) -> np.ndarray:
    """Whether each test image is right, bool (N,), after training a model on an arm of a replicate."""
    name, replicate, arm, data = task
    prepared = data / "prepared"
    meta = json.loads((prepared / "meta.json").read_text())
    pool, val, test = (load(prepared / split) for split in ("train", "val", "test"))
    settings = load_params().models[name].model_copy(update={"engine": "torch", "seeds": (replicate,)})
    torch.set_num_threads(1)
    machine, images = Machine(accelerator="cpu"), combine(Arm(), train=images_of(arm, pool, replicate), name=arm)
    run = set_up(f"{name}-{arm}", settings=settings, data=images, val=val, meta=meta, machine=machine)
    with tempfile.TemporaryDirectory() as folder:
        trained = train_seed(run, seed=replicate, state_file=Path(folder) / "state.pt")
    classifier = build_classifier(run, replicate)
    classifier.net.load_state_dict(trained.weights)
    answers = logits(classifier, batches(test, run.test_view)).argmax(1).numpy()
    return answers == encode(test.table, meta)


def words(rng: np.random.Generator, right: dict[str, np.ndarray], num_seeds: int) -> list[str]:
    """The words of one study. right: arm -> bool (replicates, N)."""
    replicates = rng.permutation(len(right["real"]))[:num_seeds]
    images = rng.integers(right["real"].shape[1], size=right["real"].shape[1])
    answers = {arm: each[replicates][:, images] for arm, each in right.items()}
    paired = [paired_accuracy(answers[arm], answers["real"]) for arm in ARMS[1:]]
    return [v.word for v in judge([compare_paired(one, confidence=0.95, pooled_with=paired) for one in paired])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--replicates", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    models = list(load_params().models)
    tasks = [(m, k, arm, arguments.data) for m in models for arm in ARMS for k in range(arguments.replicates)]
    with ProcessPoolExecutor(arguments.jobs, mp_context=get_context("spawn")) as pool:
        answers = np.stack(list(pool.map(right_answers, tasks, chunksize=4)))
    answers = answers.reshape(len(models), len(ARMS), arguments.replicates, -1)
    print("| model | arm | gain, points | sd | replicates | helps | inconclusive | hurts |")
    print("| :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, of_model in zip(models, answers, strict=True):
        right = dict(zip(ARMS, of_model, strict=True))
        for num_seeds in arguments.seeds:
            rng = np.random.default_rng(num_seeds)
            said = [words(rng, right, num_seeds) for _ in range(arguments.studies)]
            for i, arm in enumerate(ARMS[1:]):
                gains = 100 * (right[arm].mean(1) - right["real"].mean(1))
                shares = [sum(each[i] == word for each in said) for word in ("helps", "inconclusive", "hurts")]
                told = " | ".join(f"{share / len(said):.1%}" for share in shares)
                print(f"| {name} | {arm} | {gains.mean():+.2f} | {gains.std(ddof=1):.2f} | {num_seeds} | {told} |")


if __name__ == "__main__":
    main()
