"""Images of any size as preparation stores them: decoded, resized and stacked in the same way."""

import io
from typing import TYPE_CHECKING, Protocol

import numpy as np

from touchstone.data.decode import decode
from touchstone.data.levels import prepared
from touchstone.data.ops.resize import resize

if TYPE_CHECKING:
    from touchstone.data.reading import Read


class Preparation(Protocol):
    """The settings by which a project's images were prepared; see data/prepared/meta.json."""

    @property
    def channels(self) -> int: ...
    @property
    def max_pixels(self) -> int: ...
    @property
    def bits(self) -> int: ...
    @property
    def white(self) -> int: ...
    @property
    def image_size(self) -> int: ...
    @property
    def resize(self) -> str: ...


def as_prepared(read: "Read", how: Preparation) -> np.ndarray:
    """Return the image in a file, pixels (h, w, C), decoded and resized. Raises TouchstoneError where it cannot be."""
    image = decode(io.BytesIO(read()), channels=how.channels, max_pixels=how.max_pixels, bits=how.bits)
    return resize(prepared(image, bits=how.bits, white_value=how.white), size_px=how.image_size, mode=how.resize)


def stacked(images: list[np.ndarray], resize: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Stack prepared images, (B, H, W, C), each at the top left of the room of the largest, and return their sizes.

    The sizes (B, 2) are None where all images have the same.
    """
    sizes = np.array([image.shape[:2] for image in images])
    pixels = np.zeros((len(images), *sizes.max(0), images[0].shape[2]), images[0].dtype)
    for row, image in zip(pixels, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return pixels, sizes if resize == "shortest_edge" else None
