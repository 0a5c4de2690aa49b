"""Draw values in colour over an image, which is turned grey."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from touchstone.data.levels import Limits
from touchstone.data.sheets import GAP, caption_font, thumbnail

SIDE = 128  # px of a tile
FOR, AGAINST = (255, 110, 0), (0, 110, 255)  # RGB
OPACITY = 0.85  # at the strongest value
STRONG = 0.99  # absolute values above this quantile are drawn alike
PALE = 150  # the grey level that black becomes beneath a map
HEAD, FOOT = 18, 30  # px: a line of text above, two beneath


def covered(tile: Image.Image, level: np.ndarray, colour: tuple[int, int, int]) -> Image.Image:
    """Lay a colour over `tile`. level: (rows, columns), from 0, no colour, to 1, OPACITY; cells fade into others."""
    strength = np.round(255 * OPACITY * np.clip(level, 0, 1)).astype(np.uint8)
    mask = Image.fromarray(cv2.resize(strength, tile.size, interpolation=cv2.INTER_LINEAR))
    return Image.composite(Image.new("RGB", tile.size, colour), tile, mask)


def grey(tile: Image.Image) -> Image.Image:
    return tile.convert("L").convert("RGB")


def pale(tile: Image.Image) -> Image.Image:
    """Turn a tile into light grey, so that colours stand out on its dark parts as on its bright ones."""
    return grey(tile).point(lambda value: PALE + value * (255 - PALE) // 255)


def scale(values: np.ndarray) -> float:
    """Return the absolute value from which on all are drawn alike, of maps (B, S, S) that share a scale."""
    return max(float(np.quantile(np.abs(values), STRONG)), 1e-12)


def signed(pixels: np.ndarray, values: np.ndarray, strongest: float, *, between: Limits | None = None) -> Image.Image:
    """Draw an image, pixels (S, S, C), with values (S, S) over it: orange above 0, blue below, up to +-strongest."""
    level = values / strongest
    return covered(covered(pale(thumbnail(pixels, SIDE, between=between)), level, FOR), -level, AGAINST)


def table(rows: list[list[Image.Image]], header: list[str], captions: list[str]) -> Image.Image:
    """Lay out rows of tiles: a header above the columns, and a caption of at most two lines beneath each row."""
    high = SIDE + FOOT + GAP
    sheet = Image.new("RGB", (GAP + len(header) * (SIDE + GAP), HEAD + len(rows) * high), "white")
    draw = ImageDraw.Draw(sheet)
    for j, text in enumerate(header):
        draw.text((GAP + j * (SIDE + GAP), 3), text, fill="black", font=caption_font())
    for i, (tiles, caption) in enumerate(zip(rows, captions, strict=True)):
        for j, tile in enumerate(tiles):
            sheet.paste(tile, (GAP + j * (SIDE + GAP), HEAD + i * high))
        draw.text((GAP, HEAD + i * high + SIDE + 2), caption, fill="black", font=caption_font())
    return sheet
