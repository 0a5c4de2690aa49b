"""Pixels -> the pictures of the page, each held once, however often it is shown, as a `data:` URI of stable bytes."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image

from touchstone.data.levels import limits
from touchstone.data.sheets import thumbnail
from touchstone.report.facts import Facts

MAX_COLOURS = 128  # of a colour picture: a third of the bytes, and hardly visible at this size
SIDES = ((100, 224), (400, 128), (1000, 96), (4000, 64))  # up to so many images, px; beyond the last 40 px


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


def stored(facts: Facts) -> dict[str, Picture]:
    """Every picture of the page: contact sheets, closest pairs, attention and attributions, and the test and training
    images that its galleries show (`test-<row>`, `train-<row>`)."""
    side = 548 if len(facts.sheets) <= 12 else 360  # px
    store = {f"sheet-{sheet.name}": _opened(sheet.png, most=side) for sheet in facts.sheets}
    store |= {f"strip-{name}": _opened(png) for name, png in facts.strips.items()}
    store |= {f"pairs-{audit.name}": _opened(audit.gallery) for audit in facts.audits}
    store |= {f"attention-{name}": _opened(attention.png) for name, attention in facts.attention.items()}
    for name, run in facts.attributions.items():
        each = product(range(run.tiles.shape[0]), range(run.tiles.shape[1]))
        store |= {f"attributed-{name}-{i}-{j}": _picture(Image.fromarray(run.tiles[i, j])) for i, j in each}
    return store | gallery_pictures(_gallery_images(facts))


def gallery_pictures(images: Mapping[str, np.ndarray]) -> dict[str, Picture]:
    """Images of galleries, pixels (h, w, C) each, at their own size, or smaller where there are many."""
    size = next((px for count, px in SIDES if len(images) <= count), 40)
    between = limits(list(images.values()))
    return {
        name: _picture(thumbnail(pixels, min(size, max(pixels.shape[:2])), between=between))
        for name, pixels in sorted(images.items())
    }


def _gallery_images(facts: Facts) -> dict[str, np.ndarray]:
    """The worst mistakes of every run and ensemble with the training images nearest to them, the images that runs mend
    or break and those that all miss, or, with several labels,
    the images that rank highest and lowest in each class."""
    images: dict[str, np.ndarray] = {
        f"test-{image.row}": image.pixels for group in facts.missed for image in group.images
    }
    for result in facts.results:
        ranked = result.multi_label.ranked if result.multi_label else ()
        scored = [image for each in ranked for image in (*each.top, *each.bottom)]
        images |= {f"test-{image.row}": image.pixels for image in (*result.mistakes, *scored)}
        if result.changes:
            changed = (*result.changes.mended, *result.changes.broken)
            images |= {f"test-{image.row}": image.pixels for image in changed}
        nearest = [mistake.nearest for mistake in result.mistakes if mistake.nearest]
        images |= {f"train-{image.row}": image.pixels for image in nearest}
    return images


def _opened(png: bytes, *, most: int = 0) -> Picture:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    if most:
        image.thumbnail((most, 2 * most), Image.Resampling.BOX)
    return _picture(image)


def _picture(image: Image.Image) -> Picture:
    """Store an RGB image in few bytes: as grey where it has no colour, with a palette otherwise."""
    pixels = np.asarray(image)
    is_grey = (pixels == pixels[..., :1]).all()
    compact = image.convert("L") if is_grey else image.quantize(MAX_COLOURS, dither=Image.Dither.NONE)
    return Picture(data_uri(compact), image.width, image.height)
