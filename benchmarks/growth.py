"""Measures how the time and the memory of each step grow with the number of images.

    python benchmarks/growth.py                                  # 5,000 and 50,000 images of 32 px
    python benchmarks/growth.py --numbers 5000 50000 500000
    python benchmarks/growth.py --px 400 --uneven --numbers 2000 20000

The images are smooth noise, made when they are read: files are intake.py's matter. With --uneven, their sides differ as
those of photographs do, and `shortest_edge` keeps them. 72 % of them are training images, 20 % test images. In
processes of their own, one after another:
  prepare     splits, resizes, searches for copies and writes arrays, the making of the images included
  statistics  mean and standard deviation of the training images
  copies      the search of prepare alone, for copies across splits
  epoch       LeNet at 32 px sees each training image once, in batches of 64
  predict     LeNet predicts the test images
  audit       the search for copies of training images among the test images, which calibrates the audit
Seconds are those of the clock. The peak is anonymous memory in MiB, see intake.py. Stored is the size of the arrays
over that of the pixels. Each ratio is to the number before. Figures: docs/speed.md.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _shared import Cost, cost, own_process, run_on

if TYPE_CHECKING:
    import numpy as np

    from touchstone.data.imageset import ImageSet

SIDE = 32  # px, of the net's input
CLASSES = "abcdefghij"


class Noise:
    """A raw set of smooth noise, made when it is read."""

    multi_label = False

    def __init__(self, number: int, side: int, uneven: bool) -> None:
        from touchstone.data.sources import RawImage
        from touchstone.seeds import generator

        self.classes, self.side = list(CLASSES), side
        self.longer = generator(0, "sides").uniform(1, 2, (number, 2)) if uneven else None
        names = [f"{i:040x}" for i in range(number)]
        self.images = [RawImage(name, CLASSES[i % 10], "", f"{CLASSES[i % 10]}/{i}") for i, name in enumerate(names)]

    def pixels(self, index: int, *, channels: int, max_pixels: int, bits: int = 8) -> "np.ndarray":
        import cv2
        import numpy as np

        coarse = np.random.default_rng(index).integers(0, 256, (12, 12, channels), np.uint8)
        height = width = self.side
        if self.longer is not None:
            share, which = self.longer[index]
            longer = round(self.side * share)
            height, width = (longer, width) if which < 1.3 else (height, longer)
        return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)

    def content(self, index: int) -> None:
        return None


def prepare(folder: Path, number: int, side: int, uneven: bool) -> Cost:
    from touchstone.config.schema.data import Data
    from touchstone.data.prepare import prepare as write

    data = Data.model_validate(
        {
            "source": "folder", "image_size": side, "channels": 3, "resize": "shortest_edge" if uneven else "squash",
            "bad_images": "fail", "max_pixels": 50_000_000, "near_duplicates": "report", "train_size": 0,
            "test_fraction": 0.2, "val_fraction": 0.1, "fold": "", "split_seed": 0,
        }
    )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    raw: Any = Noise(number, side, uneven)
    return cost(lambda: write(raw, data=data, to=folder, sheet_size=64))


def statistics(folder: Path, side: int) -> Cost:
    from touchstone.config.schema.data import Arm
    from touchstone.data.batches import statistics as of
    from touchstone.data.training_set import combine

    data = combine(Arm(), train=_images(folder, "train"), name="real")
    return cost(lambda: of(data))


def copies(folder: Path, side: int) -> Cost:
    from touchstone.data.copies import near_copies
    from touchstone.data.imageset import valid_sizes
    from touchstone.data.thumbnails import thumbnails

    def search() -> None:
        test, train = (_images(folder, split) for split in ("test", "train"))
        small = [thumbnails(each.images, valid_sizes(each.table)) for each in (test, train)]
        near_copies(*small, close=20)

    return cost(search)


def epoch(folder: Path, side: int) -> Cost:
    from touchstone.training.loop import train_seed

    images = _images(folder, "train")
    run = run_on(images, _settings(len(images) // 64), image_size=side)
    return cost(lambda: train_seed(run, seed=0, state_file=folder.parent / "state.pt"))


def predict(folder: Path, side: int) -> Cost:
    from touchstone.models.predict import probabilities
    from touchstone.training.classifier import build_classifier

    run = run_on(_images(folder, "train").take(range(100)), _settings(1), image_size=side)
    classifier, test = build_classifier(run, seed=0), _images(folder, "test")
    return cost(lambda: probabilities(classifier, test, view=run.test_view, num_classes=10))


def audit(folder: Path, side: int) -> Cost:
    from touchstone.audit.features import by_thumbnails
    from touchstone.audit.pairs import calibrate

    def search() -> None:
        test, train = (by_thumbnails(_images(folder, split), size_px=side) for split in ("test", "train"))
        calibrate(test.images, train.images, seed=0)

    return cost(search)


def _settings(num_steps: int) -> dict[str, Any]:
    return {
        "net": "lenet", "weights": "random", "input_size": SIDE, "batch_size": 64, "num_steps": num_steps,
        "eval_steps": num_steps, "lr": 0.001, "num_threads": 2,
    }  # fmt: skip


def _images(folder: Path, split: str) -> "ImageSet":
    from touchstone.data.imageset import load

    return load(folder / split)


STEPS: dict[str, Callable[[Path, int], Cost]] = {
    "statistics": statistics, "copies": copies, "epoch": epoch, "predict": predict, "audit": audit
}  # fmt: skip


def stored(folder: Path) -> float:
    """Return the bytes of the arrays over those of the pixels."""
    from touchstone.data.imageset import load, valid_sizes

    files = pixels = 0
    for split in ("train", "val", "test"):
        images = load(folder / split)
        sizes = valid_sizes(images.table)
        area = len(images) * images.images[0][..., 0].size if sizes is None else int(sizes.prod(1).sum())
        files += sum(file.stat().st_size for file in (folder / split / "images").iterdir())
        pixels += area * images.images.shape[3]
    return files / pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, nargs="+", default=[5_000, 50_000], metavar="N")
    parser.add_argument("--px", type=int, default=32)
    parser.add_argument("--uneven", action="store_true")
    parser.add_argument("--without", nargs="*", default=[], choices=STEPS, help="steps that are not measured")
    parser.add_argument("--one", nargs=3, metavar=("STEP", "FOLDER", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        step, folder, number = arguments.one
        if step == "prepare":
            print(*prepare(Path(folder), int(number), arguments.px, arguments.uneven))
        else:
            print(*STEPS[step](Path(folder), arguments.px))
        return
    rest = ["--px", arguments.px, *(["--uneven"] if arguments.uneven else [])]
    before: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "prepared"
        for number in arguments.numbers:
            print(f"{number:,} images of {arguments.px} px{', uneven' if arguments.uneven else ''}", flush=True)
            for step in ("prepare", *(step for step in STEPS if step not in arguments.without)):
                found = Cost(*own_process("--one", step, folder, number, *rest))
                ratio = f", {found.seconds / before[step].seconds:.1f} times" if step in before else ""
                print(
                    f"  {step}: {found.seconds:.2f} s{ratio}; peak {found.anonymous_mib:,.0f} MiB anonymous", flush=True
                )
                before[step] = found
            print(f"  stored: {stored(folder):.3f} times the pixels", flush=True)


if __name__ == "__main__":
    main()
