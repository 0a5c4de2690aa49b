"""Pictures of 2x2 single-label images in PASCAL VOC's layout: a small data set with several labels an image.

Each picture joins four randomly drawn images and carries the labels of all four, so all its labels are known.
"""

from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image
from tqdm import tqdm

from touchstone.data.folders import replaced
from touchstone.data.sources import RawSet
from touchstone.data.splits import LABELLED, UNLABELLED
from touchstone.errors import TouchstoneError
from touchstone.seeds import generator

SIDE = 2  # images in a row and in a column of a picture
VAL_FRACTION = 0.1  # of the source's training images, used in validation pictures only


def write(raw: RawSet, to: Path, *, counts: dict[str, int], seed: int) -> None:
    """Write pictures into the new folder `to`, completely or not at all; equal arguments give equal bytes.

    counts: split (train, val, test) -> number of pictures. Each split's pictures are made of the same split of the
    source; where that has no validation images, a tenth of its training images is set aside for them. Raise
    TouchstoneError where the source has no test split, several labels an image, too few images for a split, or images
    of different sizes.
    """
    sources = _source_images(raw, counts, seed)
    with replaced(to) as folder:
        for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (folder / name).mkdir(parents=True)
        for split, count in counts.items():
            names = [f"{split}_{i:06d}" for i in range(count)]
            for i, name in enumerate(tqdm(names, desc=f"mosaics {split}", unit="img", disable=None)):
                chosen = generator(seed, "mosaic", split, i).choice(sources[split], SIDE * SIDE)
                tiles = [raw.pixels(int(j), channels=3, max_pixels=10**8) for j in chosen]
                Image.fromarray(_joined(tiles)).save(folder / f"JPEGImages/{name}.png")
                labels = [raw.images[int(j)].label for j in chosen]
                (folder / f"Annotations/{name}.xml").write_text(_annotation(name, labels, tiles[0].shape))
            (folder / f"ImageSets/Main/{split}.txt").write_text("\n".join(names) + "\n")


def _source_images(raw: RawSet, counts: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """split -> int64 (M,), the indices of the images that its pictures are made of."""
    if any(len(image.labels) != 1 for image in raw.images if image.split != UNLABELLED):
        raise TouchstoneError("mosaics: the source has several labels an image; expected one, as cifar10 has")
    indices = {
        split: np.array([i for i, image in enumerate(raw.images) if image.split == split], np.int64)
        for split in LABELLED
    }
    if not len(indices["test"]):
        raise TouchstoneError("mosaics: the source has no test split of its own, as cifar10 has")
    if not len(indices["val"]):
        order = generator(seed, "mosaics", "val").permutation(indices["train"])
        num_val = round(VAL_FRACTION * len(order))
        indices["val"], indices["train"] = order[:num_val], order[num_val:]
    for split, count in counts.items():
        if count and not len(indices[split]):
            raise TouchstoneError(f"mosaics: the source has no images for {split} pictures; expected at least one")
    return indices


def _joined(tiles: list[np.ndarray]) -> np.ndarray:
    """Join four images (H, W, C) into one (2 H, 2 W, C)."""
    shapes = {tile.shape for tile in tiles}
    if len(shapes) != 1:
        raise TouchstoneError(f"mosaics: expected images of one size, got {' and '.join(map(str, sorted(shapes)))}")
    rows = [np.concatenate(tiles[i : i + SIDE], 1) for i in range(0, len(tiles), SIDE)]
    return np.concatenate(rows, 0)


def _annotation(name: str, labels: list[str], shape: tuple[int, ...]) -> str:
    """VOC's XML with an object for each image of the picture; VOC counts the pixels of corners from 1."""
    height, width, depth = shape
    lines = ["<annotation>", f"  <filename>{name}.png</filename>", "  <size>"]
    lines += [f"    <width>{SIDE * width}</width>", f"    <height>{SIDE * height}</height>"]
    lines += [f"    <depth>{depth}</depth>", "  </size>"]
    for i, label in enumerate(labels):
        top, left = (i // SIDE) * height, (i % SIDE) * width
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": left + width, "ymax": top + height}
        box = "".join(f"<{corner}>{pixel}</{corner}>" for corner, pixel in corners.items())
        lines += ["  <object>", f"    <name>{escape(label)}</name>", "    <difficult>0</difficult>"]
        lines += [f"    <bndbox>{box}</bndbox>", "  </object>"]
    return "\n".join([*lines, "</annotation>"]) + "\n"
