"""Contact sheets and captioned galleries: Pillow images with reproducible bytes."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from touchstone.data.folders import replaced
from touchstone.data.imageset import ImageSet, load, write
from touchstone.data.labels import names
from touchstone.data.levels import Limits, limits, shown

TILE = 64  # px, the side of a tile
GAP = 4  # px


def save_with_sheet(
    folder: Path,
    images: ImageSet,
    *,
    sheet_size: int,
    rows: np.ndarray | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Write an ImageSet, or the given rows of it, to `folder`, completely or not at all.

    Its contact sheet shows at most `sheet_size` images, taken from the classes in turn. names: see `write`.
    """
    with replaced(folder) as new:
        write(new, images, rows=rows, names=names)
        written = load(new)
        shown = spread(written.table["label"].tolist(), sheet_size)
        gallery([valid_area(written, row) for row in shown]).save(new / "sheet.png")


def spread(labels: Sequence[str], count: int) -> list[int]:
    """Choose the first row of each class, then the second, up to `count` rows; return them grouped by class.

    labels: the label of each row, whose classes `|` may join. A row is chosen for one of its classes; rows without a
    class come last.
    """
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        for name in names(label) or [""]:
            rows.setdefault(name, []).append(row)
    waiting = {name: iter(rows[name]) for name in sorted(rows, key=lambda name: (name == "", name))}
    place = {name: number for number, name in enumerate(waiting)}
    chosen: dict[int, int] = {}  # row -> the place of the class that it is shown for
    while waiting and len(chosen) < count:
        for name in list(waiting):
            new = next((row for row in waiting[name] if row not in chosen), None)
            if new is None:
                del waiting[name]
            elif len(chosen) < count:
                chosen[new] = place[name]
    return sorted(chosen, key=lambda row: (chosen[row], row))


def valid_area(images: ImageSet, row: int) -> np.ndarray:
    """Return an image without its padding, pixels (h, w, C)."""
    if "height" not in images.table:
        return np.asarray(images.images[row])
    height, width = images.table[["height", "width"]].iloc[row].astype(int)
    return np.asarray(images.images[row, :height, :width])


def gallery(
    images: Sequence[np.ndarray],
    captions: Sequence[str] | None = None,
    *,
    columns: int = 8,
    beside: Sequence[np.ndarray] = (),
) -> Image.Image:
    """Return the images, each of pixels (h, w, C), as tiles on white with captions beneath; one blank tile for none.

    beside: images whose levels are shown alike; by default those of the gallery itself.
    """
    between = limits(beside or images)
    caption = 14 if captions is not None else 0
    rows = max(1, math.ceil(len(images) / columns))
    wide = max(1, min(columns, len(images)))
    sheet = Image.new("RGB", (GAP + wide * (TILE + GAP), GAP + rows * (TILE + GAP + caption)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, pixels in enumerate(images):
        x, y = GAP + i % columns * (TILE + GAP), GAP + i // columns * (TILE + GAP + caption)
        tile = thumbnail(pixels, between=between)
        sheet.paste(tile, (x + (TILE - tile.width) // 2, y + (TILE - tile.height) // 2))
        if captions is not None:
            draw.text((x, y + TILE + 2), captions[i], fill="black", font=caption_font())
    return sheet


def thumbnail(pixels: np.ndarray, side: int = TILE, *, between: Limits | None = None) -> Image.Image:
    """Return pixels (h, w, C) in RGB (see `shown`), the longer side scaled to `side` px; enlarged pixels stay sharp."""
    picture = shown(pixels, between)
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).convert("RGB")
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX)


def caption_font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of captions, 10 px high."""
    return ImageFont.load_default(size=10)
