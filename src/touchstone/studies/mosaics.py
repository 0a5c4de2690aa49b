"""Pictures of 2x2 images of a single-label source, in PASCAL VOC's layout: several labels an image, at a small size.

Each picture holds four images that were drawn at random and has all their classes. Which classes are there is known
exactly, and a picture without a class tells nothing of it by its surroundings.
"""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from tqdm import tqdm

from touchstone.data.imageset import replaced
from touchstone.data.sources import RawSet
from touchstone.errors import TouchstoneError
from touchstone.seeds import generator

SIDE = 2  # images a row
SHARE_VAL = 0.1  # of the source's training images: only in validation pictures


def write(raw: RawSet, to: Path, *, counts: dict[str, int], seed: int, channels: int = 3) -> None:
    """Write `counts` pictures of the splits train, val and test into the folder `to`, whole or not at all.

    Pictures of test are made of the source's test images; those of val of one tenth of its training images, of which
    no training picture is made, or of its own validation images. Equal input gives equal bytes.

    Raises TouchstoneError where the source has no official test split, images of several labels, a split without
    images, or images of different sizes.
    """
    pools = _pools(raw, counts, seed)
    with replaced(to) as folder:
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (folder / name).mkdir(parents=True)
        for split, count in counts.items():
            names = [f"{split}_{i:06d}" for i in range(count)]
            for i, name in enumerate(tqdm(names, desc=f"mosaics {split}", unit="img", disable=None)):
                chosen = generator(seed, "mosaic", split, i).choice(pools[split], SIDE * SIDE)
                tiles = [raw.pixels(int(j), channels=channels, max_pixels=10**8) for j in chosen]
                picture = _joined(tiles)
                Image.fromarray(picture[..., 0] if channels == 1 else picture).save(folder / f"JPEGImages/{name}.png")
                labels = [raw.images[int(j)].label for j in chosen]
                (folder / f"Annotations/{name}.xml").write_text(_annotation(name, labels, tiles[0].shape))
            (folder / f"ImageSets/Main/{split}.txt").write_text("\n".join(names) + "\n")


def _pools(raw: RawSet, counts: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """split -> the numbers of the images that its pictures are made of."""
    if any(len(image.labels) != 1 for image in raw.images if image.split != "unlabelled"):
        raise TouchstoneError("mosaics: expected a source of one label an image")
    of = {
        split: np.array([i for i, image in enumerate(raw.images) if image.split == split], np.int64)
        for split in ("train", "val", "test")
    }
    if not len(of["test"]):
        raise TouchstoneError("mosaics: the source has no test split of its own, such as cifar10 has")
    if not len(of["val"]):
        order = generator(seed, "mosaics", "val").permutation(of["train"])
        num_val = round(SHARE_VAL * len(order))
        of["val"], of["train"] = order[:num_val], order[num_val:]
    for split, count in counts.items():
        if count and not len(of[split]):
            raise TouchstoneError(f"mosaics: the source has no images to make {split} of")
    return of


def _joined(tiles: list[np.ndarray]) -> np.ndarray:
    """Four of (H, W, C) -> (2 H, 2 W, C)."""
    shapes = {tile.shape for tile in tiles}
    if len(shapes) != 1:
        raise TouchstoneError(f"mosaics: expected images of one size, got {' and '.join(map(str, sorted(shapes)))}")
    rows = [np.concatenate(tiles[i : i + SIDE], 1) for i in range(0, len(tiles), SIDE)]
    return np.concatenate(rows, 0)


def _annotation(name: str, labels: list[str], shape: tuple[int, ...]) -> str:
    """An object for each image of a picture; corners counted from 1, as VOC does."""
    height, width, depth = shape
    lines = ["<annotation>", f"  <filename>{name}.png</filename>", "  <size>"]
    lines += [f"    <width>{SIDE * width}</width>", f"    <height>{SIDE * height}</height>"]
    lines += [f"    <depth>{depth}</depth>", "  </size>"]
    for i, label in enumerate(labels):
        top, left = (i // SIDE) * height, (i % SIDE) * width
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": left + width, "ymax": top + height}
        box = "".join(f"<{corner}>{at}</{corner}>" for corner, at in corners.items())
        lines += ["  <object>", f"    <name>{escape(label)}</name>", "    <difficult>0</difficult>"]
        lines += [f"    <bndbox>{box}</bndbox>", "  </object>"]
    return "\n".join([*lines, "</annotation>"]) + "\n"
