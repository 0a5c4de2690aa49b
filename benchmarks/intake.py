"""Intake of a folder of JPEG: images a second through download and prepare, beside decoders alone, and how it grows.

    python benchmarks/intake.py                     # 50,000 images of 64 px and 5,000 of 1,000 px, made first
    python benchmarks/intake.py --small 10000 --large 500

For each size, in processes of their own that take turns, `--rounds` times; medians count:
  pillow       Pillow decodes the files to RGB, in as many threads as there are cores
  torchvision  torchvision.io.decode_jpeg, in as many threads
  download     touchstone, source folder: packs and hashes the files
  prepare      touchstone: decodes, resizes, splits, searches for copies and writes arrays
Of the last two: seconds of the clock and of the processor (user and system, all threads), and two peaks of memory.
Anonymous memory (RssAnon in /proc/self/status, sampled every 20 ms; only on Linux) is what the process cannot run
without. Resident memory (ru_maxrss) also counts pages of files that it has read and that the system drops when it needs
the room. Growth is the ratio for all small images to a tenth of them. Figures: docs/speed.md.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _shared import Cost, cost, own_process

SMALL_PX, LARGE_PX = 64, 1000


def make(folder: Path, number: int, side: int) -> None:
    """Write JPEG files of smooth noise, which compress like photographs, in two classes."""
    import numpy as np
    from PIL import Image

    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)

    def one(i: int) -> None:
        coarse = np.random.default_rng(i).integers(0, 256, (12, 12, 3), np.uint8)
        image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        image.save(folder / "ab"[i % 2] / f"{i:06d}.jpg", quality=90)

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(number)))


def files(folder: Path, number: int) -> list[Path]:
    """Return that many files, evenly over the classes."""
    found = sorted(folder.glob("*/*.jpg"))
    return found[:: max(1, len(found) // number)][:number]


def pillow(folder: Path, number: int) -> float:
    """Images a second."""
    import numpy as np
    from PIL import Image

    def one(file: Path) -> int:
        return int(np.asarray(Image.open(file).convert("RGB")).shape[0])

    return _rate(one, files(folder, number))


def torchvision(folder: Path, number: int) -> float:
    """Images a second."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    torch.set_num_threads(1)

    def one(file: Path) -> int:
        return int(decode_jpeg(read_file(str(file)), mode=ImageReadMode.RGB).shape[1])

    return _rate(one, files(folder, number))


def _rate(one: object, paths: list[Path]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, paths, chunksize=16))  # type: ignore[arg-type]
    return len(paths) / (time.perf_counter() - began)


def download(folder: Path, number: int) -> Cost:
    """Pack that many files of the folder into `raw` beside it."""
    from touchstone.data.sources.folder import download as pack

    source, raw = folder, folder.parent / "raw"
    if number < len(files(folder, sys.maxsize)):
        source = folder.parent / "part"
        shutil.rmtree(source, ignore_errors=True)
        for file in files(folder, number):
            (source / file.parent.name).mkdir(parents=True, exist_ok=True)
            os.link(file, source / file.parent.name / file.name)
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir()
    return cost(lambda: pack(to=raw, path=source, mirror=""))


def prepare(folder: Path, number: int) -> Cost:
    """Prepare what `download` packed, whatever its number."""
    from touchstone.config.schema.data import Data
    from touchstone.data.prepare import prepare as write
    from touchstone.data.sources.folder import read

    data = Data.model_validate(
        {
            "source": "folder", "image_size": SMALL_PX, "channels": 3, "resize": "squash", "bad_images": "fail",
            "max_pixels": 50_000_000, "near_duplicates": "report", "train_size": 0, "test_fraction": 0.2,
            "val_fraction": 0.1, "fold": "", "split_seed": 0,
        }
    )  # fmt: skip
    to = folder.parent / "prepared"
    shutil.rmtree(to, ignore_errors=True)
    return cost(lambda: write(read(folder.parent / "raw"), data=data, to=to, sheet_size=64))


WAYS = {"pillow": pillow, "torchvision": torchvision, "download": download, "prepare": prepare}


def measure(folder: Path, number: int, rounds: int) -> dict[str, list[float]]:
    """Return the medians of what each way returns."""
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(own_process("--one", way, folder, number))
    return {way: [statistics.median(each) for each in zip(*numbers, strict=True)] for way, numbers in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=50_000, metavar="N")
    parser.add_argument("--large", type=int, default=5_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "FOLDER", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, folder, number = arguments.one
        found = WAYS[way](Path(folder), int(number))
        print(*(found if isinstance(found, tuple) else (found,)))
        return
    for side, number in ((SMALL_PX, arguments.small), (LARGE_PX, arguments.large)):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "images"
            make(folder, number, side)
            totals = []
            for size in [number // 10, number] if side == SMALL_PX else [number]:
                medians = measure(folder, size, arguments.rounds)
                stages = Cost(*medians["download"]), Cost(*medians["prepare"])
                totals.append([sum(stage.seconds for stage in stages), sum(stage.cpu_seconds for stage in stages)])
                print(
                    f"{size:,} images of {side} px: pillow {medians['pillow'][0]:,.0f}, torchvision "
                    f"{medians['torchvision'][0]:,.0f}, touchstone {size / totals[-1][0]:,.0f} images a second"
                )
                for name, stage in zip(("download", "prepare"), stages, strict=True):
                    print(
                        f"  {name}: {stage.seconds:.1f} s, {stage.cpu_seconds:.1f} of the processor; peak "
                        f"{stage.anonymous_mib:,.0f} MiB anonymous, {stage.resident_mib:,.0f} resident"
                    )
            if side == SMALL_PX:
                clock, cpu = (all_of / tenth for tenth, all_of in zip(*totals, strict=True))
                print(
                    f"growth from {number // 10:,} to {number:,}: {clock:.1f} times, {cpu:.1f} of the processor's time"
                )


if __name__ == "__main__":
    main()
