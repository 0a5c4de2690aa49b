"""Intake of a folder of JPEG: images a second through download and prepare, beside decoders alone, and how it grows.

    python benchmarks/intake.py                     # 50,000 images of 64 px and 5,000 of 1,000 px, made first
    python benchmarks/intake.py --small 10000 --large 500

For each size, in processes of their own that take turns, `--rounds` times; medians count:
  pillow       Pillow decodes the files to RGB, in as many threads as there are cores
  torchvision  torchvision.io.decode_jpeg, in as many threads
  touchstone   source folder: `download` packs and hashes the files, `prepare` decodes, resizes, splits, searches for
               copies and writes arrays; seconds of each, and the peak of memory
Growth is the ratio of touchstone's seconds for all small images to those for a tenth of them. Figures: docs/speed.md.
"""

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _shared import own_process

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
    """That many files, evenly over the classes."""
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


def touchstone(folder: Path, number: int) -> tuple[float, float, float]:
    """Seconds of download and of prepare, and the peak of memory in MiB."""
    from touchstone.config.schema.data import Data
    from touchstone.data.prepare import prepare
    from touchstone.data.sources.folder import download, read

    data = Data.model_validate(
        {
            "source": "folder", "image_size": SMALL_PX, "channels": 3, "resize": "squash", "bad_images": "fail",
            "max_pixels": 50_000_000, "near_duplicates": "report", "train_size": 0, "test_fraction": 0.2,
            "val_fraction": 0.1, "fold": "", "split_seed": 0,
        }
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        source = folder
        if number < len(files(folder, sys.maxsize)):
            source = Path(scratch) / "part"
            for file in files(folder, number):
                (source / file.parent.name).mkdir(parents=True, exist_ok=True)
                os.link(file, source / file.parent.name / file.name)
        (raw := Path(scratch) / "raw").mkdir()
        began = time.perf_counter()
        download(to=raw, path=source, mirror="")
        packed = time.perf_counter()
        prepare(read(raw), data=data, to=Path(scratch) / "prepared", sheet_size=64)
        ended = time.perf_counter()
    return packed - began, ended - packed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=50_000, metavar="N")
    parser.add_argument("--large", type=int, default=5_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "FOLDER", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, folder, number = arguments.one
        found = {"pillow": pillow, "torchvision": torchvision, "touchstone": touchstone}[way](Path(folder), int(number))
        print(*(found if isinstance(found, tuple) else (found,)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        seconds: dict[int, float] = {}
        for side, number in ((SMALL_PX, arguments.small), (LARGE_PX, arguments.large)):
            folder = Path(scratch) / str(side)
            make(folder, number, side)
            sizes = [number // 10, number] if side == SMALL_PX else [number]
            for size in sizes:
                rounds: dict[str, list[list[float]]] = {}
                for _ in range(arguments.rounds):
                    for way in ("pillow", "torchvision", "touchstone"):
                        rounds.setdefault(way, []).append(own_process("--one", way, folder, size))
                median = {
                    way: [statistics.median(each) for each in zip(*found, strict=True)] for way, found in rounds.items()
                }
                down, prepared, peak = median["touchstone"]
                seconds[size] = down + prepared
                rate = size / (down + prepared)
                print(
                    f"{size:,} images of {side} px: pillow {median['pillow'][0]:,.0f}, torchvision "
                    f"{median['torchvision'][0]:,.0f}, touchstone {rate:,.0f} images a second (download {down:.1f} s, "
                    f"prepare {prepared:.1f} s); peak {peak:,.0f} MiB"
                )
            if side == SMALL_PX:
                print(f"growth from {sizes[0]:,} to {sizes[1]:,}: {seconds[sizes[1]] / seconds[sizes[0]]:.1f} times")
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
