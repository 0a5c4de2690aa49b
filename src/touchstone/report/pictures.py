"""Pixels -> `data:` URIs with stable bytes: contact sheets, thumbnails, the shading of a confusion matrix."""

import base64
import io
from functools import cache

import numpy as np
from PIL import Image

from touchstone.figures import thumbnail
from touchstone.report.facts import Facts, Sheet

MAX_COLOURS = 128  # of a colour picture: a third of the bytes, and hardly to be seen at this size
CELL = 8  # px, the side of a cell of a confusion matrix: room for scaling without blur
RIGHT, WRONG = (70, 132, 186), (222, 140, 36)  # RGB; opacity carries the share, so that any background serves


def data_uri(image: Image.Image) -> str:
    """PNG, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def compact(image: Image.Image) -> Image.Image:
    """The RGB picture in fewer bytes: grey where it has no colour, a palette otherwise."""
    pixels = np.asarray(image)
    if (pixels == pixels[..., :1]).all():
        return image.convert("L")
    return image.quantize(MAX_COLOURS, dither=Image.Dither.NONE)


def sheet_uri(sheet: Sheet, *, num_sheets: int) -> str:
    """A contact sheet, scaled down to what a column of the page shows; smaller where there are many."""
    image = Image.open(io.BytesIO(sheet.png)).convert("RGB")
    side = 544 if num_sheets <= 12 else 360  # px
    image.thumbnail((side, 2 * side), Image.Resampling.BOX)
    return data_uri(compact(image))


def gallery_uri(png: bytes) -> str:
    """A gallery in its own size."""
    return data_uri(compact(Image.open(io.BytesIO(png)).convert("RGB")))


def thumbnails(facts: Facts) -> dict[int, str]:
    """Row of the test split -> picture, of every image that some run or ensemble gets badly wrong; of several labels an
    image, of those that a class is seen in most or least."""
    ranked = [found for e in facts.entries if e.several for found in e.several.ranked]
    listed = [m for entry in facts.entries for m in entry.mistakes] + [s for r in ranked for s in (*r.top, *r.bottom)]
    shown = {item.row: item.pixels for item in listed}
    side = 96 if len(listed) <= 400 else 64 if len(listed) <= 2000 else 40  # px
    return {row: data_uri(compact(thumbnail(shown[row], side))) for row in sorted(shown)}


def heat(confusion: np.ndarray) -> str:
    """Shading of int (classes, classes), each row by its own sum: the diagonal in blue, errors in ochre.

    Errors are few, so their opacity grows with the square root of the share.
    """
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    alpha = np.sqrt(share)
    rgb = np.broadcast_to(np.array(WRONG, np.uint8), (*confusion.shape, 3)).copy()
    diagonal = np.arange(len(confusion))
    alpha[diagonal, diagonal] = 0.6 * share.diagonal()
    rgb[diagonal, diagonal] = RIGHT
    pixels = np.dstack([rgb, np.round(255 * alpha).astype(np.uint8)])  # (classes, classes, 4)
    scale = CELL if len(confusion) <= 64 else 1
    return _heat_uri(pixels.repeat(scale, 0).repeat(scale, 1).tobytes(), len(confusion) * scale)


@cache
def _heat_uri(pixels: bytes, side: int) -> str:
    return data_uri(Image.frombytes("RGBA", (side, side), pixels))
