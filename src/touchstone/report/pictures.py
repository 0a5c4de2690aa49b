"""Pixels -> pictures that the page holds once each, as `data:` URIs with stable bytes, however often it shows them."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from touchstone.data.sheets import thumbnail
from touchstone.report.facts import Facts

MAX_COLOURS = 128  # of a colour picture: a third of the bytes, and hardly to be seen at this size
SIDES = ((100, 224), (400, 128), (1000, 96), (4000, 64))  # so many images at most, at so many px; beyond that 40 px


@dataclass(frozen=True)
class Picture:
    """A PNG as a data: URI and its size in px."""

    uri: str
    width: int
    height: int


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


def stored(facts: Facts) -> dict[str, Picture]:
    """Every picture of the page: contact sheets, closest pairs, attention and attributions, and the test and training
    images that its galleries show (`test-<row>`, `train-<row>`)."""
    side = 548 if len(facts.sheets) <= 12 else 360  # px
    found = {f"sheet-{sheet.name}": _opened(sheet.png, most=side) for sheet in facts.sheets}
    found |= {f"pairs-{audited.name}": _opened(audited.gallery) for audited in facts.audits}
    found |= {f"attention-{name}": _opened(each.png) for name, each in facts.attention.items()}
    found |= {f"attributions-{name}": _opened(each.png) for name, each in facts.attributions.items()}
    shown = _shown(facts)
    size = next((px for count, px in SIDES if len(shown) <= count), 40)
    return found | {name: _picture(_at_most(pixels, size)) for name, pixels in sorted(shown.items())}


def _shown(facts: Facts) -> dict[str, np.ndarray]:
    """Of every run and ensemble the images that it gets badly wrong, with the training images nearest to them; of
    several labels an image, those that a class is seen in most or least."""
    mistakes = [found for entry in facts.entries for found in entry.mistakes]
    ranked = [found for entry in facts.entries if entry.several for found in entry.several.ranked]
    tests: Iterable = [*mistakes, *(shown for found in ranked for shown in (*found.top, *found.bottom))]
    near = [found.nearest for found in mistakes if found.nearest]
    return {f"test-{found.row}": found.pixels for found in tests} | {f"train-{n.row}": n.pixels for n in near}


def _opened(png: bytes, *, most: int = 0) -> Picture:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    if most:
        image.thumbnail((most, 2 * most), Image.Resampling.BOX)
    return _picture(image)


def _at_most(pixels: np.ndarray, side: int) -> Image.Image:
    """uint8 (h, w, C) in its own size, or smaller."""
    return thumbnail(pixels, min(side, max(pixels.shape[:2])))


def _picture(image: Image.Image) -> Picture:
    return Picture(data_uri(compact(image)), image.width, image.height)
