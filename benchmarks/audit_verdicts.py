"""Counts how often the audit's verdict is right: on honest sets, and on sets of which a fifth copies training images.

    python benchmarks/audit_verdicts.py --jobs 2 [--cifar FOLDER]      # FOLDER holds cifar-10-batches-py

Each draw splits real images anew: 200 digits to train on, 897 held out, and 600 of the others in the place of generated
images (CIFAR-10: 1,000, 1,000 and 600, so neither held-out nor training images are rare). Digits are compared in the
features of a LeNet that is trained on the draw's training images, as the pipeline does; CIFAR-10 in thumbnails. The
verdict is that on a single set, the family in which Holm's correction forgives least.

real: held-out images themselves. blends: each .6 of an image and .4 of another of its class, all held out: smoother
than real ones. gaussian: drawn from a Gaussian for each class, fitted to the 30 first principal components of held-out
images. sure: the half of the held-out images that a classifier of the training images is most sure of, which is what a
filter of samples does; it chooses images that resemble the training images, so `nearer` is no false verdict there.
The other kinds replace 120 of the real images by copies of training images, changed.

Measured on 2 cores that had other work, in 20 minutes for digits; CIFAR-10 with --draws 100 --planted 20.

| data | set | draws | copies % | nearer % | no copying found % |
|---|---|---:|---:|---:|---:|
| digits | real | 200 | 2.0 | 0.5 | 97.5 |
| digits | blends | 200 | 0.0 | 3.5 | 96.5 |
| digits | gaussian | 200 | 0.0 | 1.0 | 99.0 |
| digits | sure | 200 | 4.5 | 7.0 | 88.5 |
| digits | noise 8 | 50 | 100.0 | 0.0 | 0.0 |
| digits | noise 32 | 50 | 2.0 | 98.0 | 0.0 |
| digits | moved 1 px | 50 | 100.0 | 0.0 | 0.0 |
| digits | mirrored | 50 | 100.0 | 0.0 | 0.0 |
| digits | blend .8 | 50 | 100.0 | 0.0 | 0.0 |
| digits | blend .6 | 50 | 100.0 | 0.0 | 0.0 |
| digits | blend .5 | 50 | 100.0 | 0.0 | 0.0 |
| CIFAR-10 | real | 100 | 1.0 | 1.0 | 98.0 |
| CIFAR-10 | blends | 100 | 0.0 | 3.0 | 97.0 |
| CIFAR-10 | noise 8 | 20 | 100.0 | 0.0 | 0.0 |
| CIFAR-10 | noise 32 | 20 | 100.0 | 0.0 | 0.0 |
| CIFAR-10 | moved 1 px | 20 | 100.0 | 0.0 | 0.0 |
| CIFAR-10 | mirrored | 20 | 100.0 | 0.0 | 0.0 |
| CIFAR-10 | blend .8 | 20 | 100.0 | 0.0 | 0.0 |
| CIFAR-10 | blend .6 | 20 | 100.0 | 0.0 | 0.0 |
| CIFAR-10 | blend .5 | 20 | 100.0 | 0.0 | 0.0 |
"""

import argparse
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _shared import new_run
from planted_copies import moved, noised, read_cifar, read_digits, rounded
from threadpoolctl import threadpool_limits

from touchstone.audit.features import FeatureExtractor, Features, by_thumbnails
from touchstone.audit.nearness import nearness
from touchstone.audit.pairs import calibrate, find_copies
from touchstone.audit.verdicts import COPIES, NEARER, NO_COPYING, Evidence, judge
from touchstone.data.imageset import ImageSet
from touchstone.models.predict import batches
from touchstone.models.runs import load_first, load_run_metadata
from touchstone.seeds import generator
from touchstone.training.loop import train_seed
from touchstone.training.run import deliver

SIZES = {"digits": (200, 897), "CIFAR-10": (1000, 1000)}  # training, held out
COUNT, COPIED = 600, 120  # images of a set, and copies among them
SPLITS = 100
LENET = {"net": "lenet", "input_size": 32, "num_steps": 300, "lr": 0.002, "schedule": "one_cycle", "engine": "torch"}
HONEST = ("real", "blends", "gaussian", "sure")
PLANTED = ("noise 8", "noise 32", "moved 1 px", "mirrored", "blend .8", "blend .6", "blend .5")
Images = tuple[np.ndarray, np.ndarray]  # uint8 (N, H, W, C), labels (N,)


def image_set(images: np.ndarray, labels: np.ndarray) -> ImageSet:
    ids = [str(i) for i in range(len(images))]
    table = {"id": ids, "label": [str(label) for label in labels], "source_id": ids, "origin": "real"}
    return ImageSet(images, pd.DataFrame(table))


def encoder(train: Images, *, seed: int) -> FeatureExtractor:
    """A LeNet trained on these images."""
    meta = {"classes": sorted(set(map(str, train[1]))), "channels": 1, "image_size": 16, "resize": "squash"}
    run = new_run(train[0], list(map(str, train[1])), LENET)
    with tempfile.TemporaryDirectory() as folder:
        trained = train_seed(run, seed=seed, state_file=Path(folder) / "state.pt")
        deliver(Path(folder), run, [trained], meta=meta | {"max_pixels": 10**6})
        net, view = load_first(Path(folder)), load_run_metadata(Path(folder)).view
    return FeatureExtractor(net, view=view, meta={"classes": meta["classes"]})


def blended(images: np.ndarray, others: np.ndarray, share: float) -> np.ndarray:
    return rounded(share * images + (1 - share) * others.astype(float))


def of_the_same_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.choice(np.flatnonzero(labels == label)) for label in labels])


def gaussian(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One image for each of these, drawn from its class's Gaussian."""
    flat = images.reshape(len(images), -1).astype(float)
    mean = flat.mean(0)
    axes = np.linalg.svd(flat - mean, full_matrices=False)[2][:30]
    out = np.empty_like(flat)
    for label in np.unique(labels):
        own = (flat[labels == label] - mean) @ axes.T
        drawn = rng.multivariate_normal(own.mean(0), np.cov(own.T), len(own))
        out[labels == label] = mean + drawn @ axes
    return rounded(out).reshape(images.shape)


def changed(kind: str, originals: Images, rng: np.random.Generator) -> np.ndarray:
    """Copies of images."""
    images, labels = originals
    if kind == "mirrored":
        return images[:, :, ::-1]
    if kind == "moved 1 px":
        return np.stack([moved(image, rng, mode="edge") for image in images])
    if kind.startswith("noise"):
        return np.stack([noised(float(kind.split()[1]))(image, rng) for image in images])
    return blended(images, images[of_the_same_class(labels, rng)], float(kind.split()[1]))


@threadpool_limits.wrap(limits=1)
def draw(number: int, *, name: str, data: Images, kinds: tuple[str, ...]) -> dict[str, str]:
    """The word that each kind of set gets in one draw."""
    rng = generator(number, "audit verdicts", name)
    num_train, num_test = SIZES[name]
    order = rng.permutation(len(data[0]))
    train, test, rest = (
        (data[0][rows], data[1][rows])
        for rows in np.split(order, [num_train, num_train + num_test, num_train + num_test + COUNT])[:3]
    )
    extractor = encoder(train, seed=number) if name == "digits" else None

    def features(images: Images) -> Features:
        known = image_set(*images)
        return extractor.extract(known) if extractor else by_thumbnails(known, size_px=known.images.shape[1])

    real, unseen = features(train), features(test)
    near = {
        "training": (train[0], calibrate(test[0], train[0], seed=number)),
        "test": (test[0], calibrate(train[0], test[0], seed=number)),
    }
    words = {}
    for kind in kinds:
        made, labels = rest
        if kind == "blends":
            made = blended(made, made[of_the_same_class(labels, rng)], 0.6)
        elif kind == "gaussian":
            made = gaussian(made, labels, rng)
        elif kind == "sure":
            made, labels = surest(train, rest, seed=number)
        elif kind != "real":
            rows = rng.integers(num_train, size=COPIED)
            copied = changed(kind, (train[0][rows], train[1][rows]), rng)
            made = np.concatenate([copied, made[COPIED:]])
            labels = np.concatenate([train[1][rows], labels[COPIED:]])
        against = {split: find_copies(made, *where) for split, where in near.items()}
        found = nearness(features((made, labels)), real, unseen, seed=number, num_splits=SPLITS)
        words[kind] = judge({"set": Evidence(against, found)})["set"].word
    return words


def surest(train: Images, images: Images, *, seed: int) -> Images:
    """The half of the images that a second classifier is most sure of."""
    judge_of = encoder(train, seed=seed + 10_000)
    with torch.no_grad():
        logits = [judge_of.encoder(pixels) for pixels in batches(image_set(*images), judge_of.view)]
    sure = torch.cat(logits).softmax(1).max(1).values.numpy()
    rows = np.argsort(-sure, kind="stable")[: len(sure) // 2]
    return images[0][rows], images[1][rows]


def table(name: str, data: Images, *, draws: int, planted: int, jobs: int) -> list[str]:
    """Markdown rows: the number of draws, and the share of each word."""
    honest = HONEST if name == "digits" else HONEST[:2]
    words: dict[str, Counter[str]] = {kind: Counter() for kind in (*honest, *PLANTED)}
    with ProcessPoolExecutor(jobs) as pool:
        parts = [
            pool.map(partial(draw, name=name, data=data, kinds=(*honest, *PLANTED)), range(planted)),
            pool.map(partial(draw, name=name, data=data, kinds=honest), range(planted, draws)),
        ]
        for found in (each for part in parts for each in part):
            for kind, word in found.items():
                words[kind][word] += 1
    rows = []
    for kind, counts in words.items():
        shares = " | ".join(f"{100 * counts[word] / counts.total():.1f}" for word in (COPIES, NEARER, NO_COPYING))
        rows.append(f"| {name} | {kind} | {counts.total()} | {shares} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200, help="of honest sets")
    parser.add_argument("--planted", type=int, default=50, help="of these, draws with planted copies, too")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cifar", type=Path, help="the folder that holds cifar-10-batches-py")
    options = parser.parse_args()
    began = time.perf_counter()
    sources = {"digits": read_digits()}
    if options.cifar:
        sources["CIFAR-10"] = read_cifar(options.cifar)[0]
    print("| data | set | draws | copies % | nearer % | no copying found % |\n|---|---|---:|---:|---:|---:|")
    for name, data in sources.items():
        rows = table(name, data, draws=options.draws, planted=options.planted, jobs=options.jobs)
        print("\n".join(rows), flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
