"""Counts the copies of training images, planted among honest images, that touchstone.audit.pairs finds.

    python benchmarks/planted_copies.py [--cifar FOLDER]      # FOLDER holds cifar-10-batches-py

The data sets are digits (16x16, 200 or 900 training images, the other 897 held out) and CIFAR-10 (50,000 and 10,000).
One half of the held-out images calibrates the search, the other half is honest. Copies of each kind make up 5 % of the
searched images. The first five kinds must be found; the others show how far the search carries. Figures of digits are
sums over ROUNDS random splits. A copy is found where the very image that was copied is named, as an exact or near copy.
Natural copies in CIFAR-10 (copies.near_copies, test against training) are not honest images: they are taken out of the
second half, and listed.

Measured on 2 cores in 135 s. Most alarms in one split of digits: 2 of 448.

| data set | training images | kind | planted | recall | false alarms |
|---|---:|---|---:|---:|---|
| digits | 200 | exact | 250 | 1.0000 | 3 of 2,240 (0.13%) |
| digits | 200 | mirrored | 250 | 1.0000 | 3 of 2,240 (0.13%) |
| digits | 200 | moved 1 px, wrapped | 250 | 1.0000 | 3 of 2,240 (0.13%) |
| digits | 200 | moved 1 px, edge | 250 | 1.0000 | 3 of 2,240 (0.13%) |
| digits | 200 | noise 4 | 250 | 1.0000 | 3 of 2,240 (0.13%) |
| digits | 200 | mirrored, moved, noise 4 | 250 | 1.0000 | 3 of 2,240 (0.13%) |
| digits | 200 | noise 8 | 250 | 0.9920 | 3 of 2,240 (0.13%) |
| digits | 200 | noise 16 | 250 | 0.0640 | 3 of 2,240 (0.13%) |
| digits | 200 | 10 levels brighter | 250 | 0.8000 | 3 of 2,240 (0.13%) |
| digits | 200 | JPEG 75 | 250 | 1.0000 | 3 of 2,240 (0.13%) |
| digits | 200 | blurred | 250 | 0.4760 | 3 of 2,240 (0.13%) |
| digits | 900 | exact | 250 | 1.0000 | 4 of 2,240 (0.18%) |
| digits | 900 | mirrored | 250 | 1.0000 | 4 of 2,240 (0.18%) |
| digits | 900 | moved 1 px, wrapped | 250 | 1.0000 | 4 of 2,240 (0.18%) |
| digits | 900 | moved 1 px, edge | 250 | 1.0000 | 4 of 2,240 (0.18%) |
| digits | 900 | noise 4 | 250 | 1.0000 | 4 of 2,240 (0.18%) |
| digits | 900 | mirrored, moved, noise 4 | 250 | 1.0000 | 4 of 2,240 (0.18%) |
| digits | 900 | noise 8 | 250 | 0.9680 | 4 of 2,240 (0.18%) |
| digits | 900 | noise 16 | 250 | 0.0960 | 4 of 2,240 (0.18%) |
| digits | 900 | 10 levels brighter | 250 | 0.6200 | 4 of 2,240 (0.18%) |
| digits | 900 | JPEG 75 | 250 | 1.0000 | 4 of 2,240 (0.18%) |
| digits | 900 | blurred | 250 | 0.2920 | 4 of 2,240 (0.18%) |
| CIFAR-10 | 50,000 | exact | 534 | 1.0000 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | mirrored | 534 | 1.0000 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | moved 1 px, wrapped | 534 | 1.0000 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | moved 1 px, edge | 534 | 1.0000 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | noise 4 | 534 | 1.0000 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | mirrored, moved, noise 4 | 534 | 1.0000 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | noise 8 | 534 | 1.0000 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | noise 16 | 534 | 0.8989 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | 10 levels brighter | 534 | 0.9963 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | JPEG 75 | 534 | 1.0000 | 2 of 4,806 (0.04%) |
| CIFAR-10 | 50,000 | blurred | 534 | 0.9925 | 2 of 4,806 (0.04%) |

Both false alarms of CIFAR-10 are true copies by eye, recoloured (test 9183 and 2145, training 42449 and 43884).

CIFAR-10: 369 of 10,000 test images are natural copies; all pairs are listed in benchmarks/cifar10_copies.csv. Of the
5,000 calibrating images, natural copies among them, 55 count as near copies: `match` finds copies of pixels, and
natural ones are mostly other cuts of a picture. Frechet distance in thumbnails, real against real, and its floor:
digits 0.0163 ± 0.0009 and 0.0183 ± 0.0013 (200 training images), 0.0080 ± 0.0004 and 0.0076 ± 0.0008 (900);
CIFAR-10 0.0045 and 0.0046 ± 0.0002.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from touchstone.audit.pairs import Calibration, calibrate, find_copies
from touchstone.audit.quality import LabelledFeatures, quality
from touchstone.data.copies import near_copies
from touchstone.data.ops.resize import scale
from touchstone.data.sources import cifar10, digits
from touchstone.data.thumbnails import standardised, thumbnails
from touchstone.seeds import generator

LIST = Path(__file__).parent / "cifar10_copies.csv"  # of natural ones, by row of the test and training batches
ROUNDS = 5
SHARE = 0.05  # of the searched images, each kind
Split = tuple[np.ndarray, np.ndarray]  # uint8 (N, H, W, C), labels (N,)


def noised(sigma: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    return lambda image, rng: rounded(image + rng.normal(0, sigma, image.shape))


def moved(image: np.ndarray, rng: np.random.Generator, *, mode: str) -> np.ndarray:
    """Move by a pixel in one of 8 directions; pixels re-enter on the other side (wrap), or edges repeat."""
    y, x = [(y, x) for y in (0, 1, 2) for x in (0, 1, 2) if (y, x) != (1, 1)][rng.integers(8)]
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode=mode)  # type: ignore[call-overload]
    return padded[y : y + image.shape[0], x : x + image.shape[1]]


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, code = cv2.imencode(".jpg", np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, 75])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_UNCHANGED)).reshape(image.shape)


def rounded(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "exact": lambda image, rng: image,
    "mirrored": lambda image, rng: image[:, ::-1],
    "moved 1 px, wrapped": lambda image, rng: moved(image, rng, mode="wrap"),
    "moved 1 px, edge": lambda image, rng: moved(image, rng, mode="edge"),
    "noise 4": noised(4),
    "mirrored, moved, noise 4": lambda image, rng: noised(4)(moved(image[:, ::-1], rng, mode="edge"), rng),
    "noise 8": noised(8),
    "noise 16": noised(16),
    "10 levels brighter": lambda image, rng: rounded(image + 10.0),
    "JPEG 75": jpeg,
    "blurred": lambda image, rng: cv2.GaussianBlur(image, (3, 3), 0.8).reshape(image.shape),
}


def plant(train: np.ndarray, honest: int, rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each kind the rows that were copied, and the copies."""
    count = round(honest * SHARE / (1 - SHARE * len(KINDS)))
    planted = {}
    for name, change in KINDS.items():
        rows = rng.choice(len(train), min(count, len(train)), replace=False)
        planted[name] = rows, np.stack([change(train[row], rng) for row in rows])
    return planted


def search(train: np.ndarray, held_out: np.ndarray, *, natural: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return (planted, recalled) for each kind, and (images, false alarms) for "honest"."""
    rng = generator(seed, "planted copies")
    order = rng.permutation(len(held_out))
    half, rest = order[::2], order[1::2]
    calibration: Calibration = calibrate(held_out[half], train, seed=seed)
    honest = held_out[rest[~natural[rest]]]
    alarms = find_copies(honest, train, calibration)
    counts = {"honest": np.array([len(honest), (alarms.near | alarms.matches.exact).sum()])}
    for name, (rows, images) in plant(train, len(honest), rng).items():
        copies = find_copies(images, train, calibration)
        hit = (copies.near | copies.matches.exact) & (copies.matches.row == rows)
        counts[name] = np.array([len(rows), hit.sum()])
    print(
        f"limit {calibration.limit:.3f}: near copies {calibration.num_near} of {calibration.num_real} calibrating "
        f"images, {counts['honest'][1]} of {len(honest)} honest ones"
    )
    return counts


def report(name: str, train: int, counts: dict[str, np.ndarray]) -> str:
    """Markdown rows."""
    honest, alarms = counts["honest"]
    rows = []
    for kind in KINDS:
        planted, recalled = counts[kind]
        rows.append(f"| {name} | {train:,} | {kind} | {planted} | {recalled / planted:.4f} | ")
    return "\n".join(f"{row}{alarms} of {honest:,} ({alarms / honest:.2%}) |" for row in rows)


def real_against_real(train: Split, held_out: Split) -> str:
    """The Frechet distance, in thumbnails, of one half of the held-out images to the other, beside its floor."""
    training, unseen = (
        LabelledFeatures(standardised(thumbnails(images)), labels) for images, labels in (train, held_out)
    )
    halves = [LabelledFeatures(unseen.values[i::2], unseen.labels[i::2]) for i in (0, 1)]
    result = quality(halves[0], training, halves[1], seed=0, num_draws=5)
    return (
        f"Frechet distance in thumbnails, real against real, {result.num_images} images: {result.generated.frechet:.4f}"
        f" ± {result.generated_std.frechet:.4f}, floor {result.floor.frechet:.4f} ± {result.floor_std.frechet:.4f}"
    )


def read_digits() -> Split:
    with tempfile.TemporaryDirectory() as folder:
        digits.download(to=Path(folder), path=Path(), mirror="")
        raw = digits.read(raw=Path(folder))
    images = np.stack([scale(image, 16, 16) for image in raw.array])
    return images, np.array([int(image.label) for image in raw.images])


def read_cifar(folder: Path) -> tuple[Split, Split]:
    """Training and test images."""
    with tempfile.TemporaryDirectory() as to:
        cifar10.download(to=Path(to), path=Path(), mirror=str(folder))
        raw = cifar10.read(raw=Path(to))
    labels = np.array([raw.classes.index(image.label) for image in raw.images])
    test = np.array([image.split == "test" for image in raw.images])
    return (raw.array[~test], labels[~test]), (raw.array[test], labels[test])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, help="the folder that holds cifar-10-batches-py")
    arguments = parser.parse_args()
    tables, began = [], time.perf_counter()
    images, labels = read_digits()
    for train in (200, 900):
        total: dict[str, np.ndarray] = {}
        for seed in range(ROUNDS):
            order = generator(seed, "split").permutation(len(images))
            rows, held_out = order[:train], order[900:]
            none = np.zeros(len(held_out), bool)
            for kind, counts in search(images[rows], images[held_out], natural=none, seed=seed).items():
                total[kind] = total.get(kind, 0) + counts
        tables.append(report("digits", train, total))
        print(real_against_real((images[rows], labels[rows]), (images[held_out], labels[held_out])))
    if arguments.cifar:
        (training, training_labels), (test, test_labels) = read_cifar(arguments.cifar)
        pairs = near_copies(thumbnails(test), thumbnails(training), close=20)
        natural = np.isin(np.arange(len(test)), pairs.held_out)
        listed = pd.DataFrame({"test": pairs.held_out, "train": pairs.train, "mirrored": pairs.mirrored})
        listed.sort_values(["test", "train"]).to_csv(LIST, index=False, lineterminator="\n")
        print(f"{natural.sum()} test images of CIFAR-10 are natural copies, {len(listed)} pairs: {LIST}")
        tables.append(report("CIFAR-10", len(training), search(training, test, natural=natural, seed=0)))
        print(real_against_real((training, training_labels), (test, test_labels)))
    print("\n| data set | training images | kind | planted | recall | false alarms |\n|---|---:|---|---:|---:|---|")
    print("\n".join(tables) + f"\n\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
