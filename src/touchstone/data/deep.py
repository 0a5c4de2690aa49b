"""Reads what Pillow would reduce: colours of 16 bits, and TIFF files of any number of channels.

    in the file                                       read by
    PNG of 16 bits in colour or with alpha            OpenCV
    TIFF of 3 or 4 samples a pixel, side by side      OpenCV
    TIFF of pages of grey                             Pillow, a channel a page
    other TIFF of several samples a pixel             tifffile, the extra `tiff`
    NumPy's .npy, never a pickle                      NumPy; (H, W), (H, W, C) or (C, H, W): the axis as long as
                                                      data.channels, else the shorter one

Integers of 16 bits stay as they are, others are clipped to 0..65535, and floating-point values are scaled from the
image's minimum to its maximum.
"""

import io
import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from touchstone.data import levels
from touchstone.errors import BadImage, TouchstoneError

MAX_CHANNELS = 64
PNG, PNG_COLOURS = b"\x89PNG\r\n\x1a\n", (2, 4, 6)  # colour types: RGB, grey with alpha, RGB with alpha
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NPY = b"\x93NUMPY"
BLACK_IS_ZERO, RGB = 1, 2  # photometric interpretations whose samples are channels
CheckSize = Callable[[int, int], None]

# EXIF orientation -> how the stored pixels are turned, as decode.TURNS says it for Pillow.
TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def read(content: bytes, channels: int | None, check_size: CheckSize) -> np.ndarray | None:
    """Return uint8 or uint16 (H, W, C) of a file that Pillow would reduce; None for others, which Pillow reads in full.

    channels: how many are wanted; None for the file's own. Where 1 or 3 are wanted, or its own, transparency is laid
    over white. check_size: called with width and height before anything is decoded. Raises BadImage on files that
    cannot be decoded, and TouchstoneError without tifffile, where it is needed.
    """
    if content.startswith(NPY):
        return _read_npy(content, channels, check_size)
    if content.startswith(PNG):
        return _read_png(content, channels, check_size)
    return _read_tiff(content, channels, check_size) if content.startswith(TIFF) else None


def _read_npy(content: bytes, channels: int | None, check_size: CheckSize) -> np.ndarray:
    """Return uint8 or uint16 (H, W, C) of an array in NumPy's format. Raises BadImage."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape = header(file)[0]
    if len(shape) not in (2, 3):
        raise BadImage(f"an array of shape {shape}, expected (H, W), (H, W, C) or (C, H, W)")
    leads = len(shape) == 3 and shape[2] != channels and (shape[0] == channels or shape[0] < shape[2])
    height, width = shape[1:] if leads else shape[:2]
    check_size(width, height)
    number = 1 if len(shape) == 2 else shape[0] if leads else shape[2]
    if not 1 <= number <= MAX_CHANNELS:
        raise wrong_number(number, None)
    values = np.load(io.BytesIO(content), allow_pickle=False)
    channels_last = np.moveaxis(values, 0, 2) if leads else values
    return pixels_of(np.ascontiguousarray(channels_last.reshape(height, width, number)))


def _read_png(content: bytes, channels: int | None, check_size: CheckSize) -> np.ndarray | None:
    """PNG specification, third edition, 11.2.1: IHDR holds width, height, bit depth and colour type."""
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    if depth != 16 or colour not in PNG_COLOURS:
        return None
    check_size(width, height)
    pixels = _by_opencv(content)
    image = Image.open(io.BytesIO(content), formats=("PNG",))
    return _turned(pixels if channels == 4 else _opaque(pixels), image.getexif().get(ExifTags.Base.Orientation, 1))


def _read_tiff(content: bytes, channels: int | None, check_size: CheckSize) -> np.ndarray | None:
    try:
        image: Any = Image.open(io.BytesIO(content), formats=("TIFF",))
    except UnidentifiedImageError:
        return _by_tifffile(content, channels, check_size)
    tags = image.tag_v2
    samples, bits = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1), max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) not in (BLACK_IS_ZERO, RGB):
        return None
    if samples == 1:
        return _pages(image, channels, check_size)
    alpha = any(tags.get(TiffImagePlugin.EXTRASAMPLES, ()))  # 0: a channel that is neither colour nor transparency
    if bits <= 8 and (channels in (1, 3) or (channels is None and (samples <= 3 or alpha))):
        return None
    if samples not in (3, 4) or bits not in (8, 16) or tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) != 1:
        return _by_tifffile(content, channels, check_size)
    check_size(*image.size)
    pixels = _by_opencv(content)
    laid = _opaque(pixels) if alpha and channels in (None, 1, 3) else pixels
    return _turned(laid, tags.get(ExifTags.Base.Orientation, 1))


def _pages(image: Any, channels: int | None, check_size: CheckSize) -> np.ndarray | None:
    """Return pages of grey as channels, None where there are not as many as are wanted."""
    number = getattr(image, "n_frames", 1)
    if number == 1 or number > MAX_CHANNELS or (number != channels and channels is not None):
        return None
    check_size(*image.size)
    pages: list[np.ndarray] = []
    for page in range(number):
        image.seek(page)
        if image.mode not in ("L", "I", "F") and not image.mode.startswith("I;16"):
            return None
        if pages and image.size != pages[0].shape[1::-1]:
            return None
        pages.append(np.asarray(image))
    return pixels_of(np.dstack(pages))


def _by_opencv(content: bytes) -> np.ndarray:
    """Return uint8 or uint16 (H, W, 1, 3 or 4), red first."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise BadImage("cannot be decoded (by OpenCV)")
    if pixels.ndim == 2:
        return pixels[:, :, None]
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])


def _by_tifffile(content: bytes, channels: int | None, check_size: CheckSize) -> np.ndarray:
    with _tifffile().TiffFile(io.BytesIO(content)) as file:
        series = file.series[0]
        sizes = dict(zip(series.axes, series.shape, strict=True))
        if not {"Y", "X"} <= sizes.keys():
            raise BadImage(f"a TIFF of the axes {series.axes}, expected Y and X")
        check_size(sizes["X"], sizes["Y"])
        number = int(np.prod([size for axis, size in sizes.items() if axis not in "YX"]))
        if number > MAX_CHANNELS or (channels is not None and number != channels):
            raise wrong_number(number, channels)
        values = series.asarray(maxworkers=1)
        tag = file.pages[0].tags.get("Orientation")
        axes = series.axes
    values = np.moveaxis(values, (axes.index("Y"), axes.index("X")), (0, 1))
    return _turned(pixels_of(values.reshape(*values.shape[:2], -1)), tag.value if tag else 1)


def wrong_number(got: int, expected: int | None) -> BadImage:
    """Return the error about an image that has another number of channels than the study."""
    if expected is None:
        return BadImage(f"{got} channels, expected at most {MAX_CHANNELS}")
    return BadImage(f"{got} channels, expected {expected} (data.channels)")


def pixels_of(values: np.ndarray) -> np.ndarray:
    """Return values of any type as uint8 or uint16, by the rule of this module."""
    if levels.is_pixels(values.dtype):
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(levels.WHITE)
    if values.dtype.kind in "iu":
        return levels.clipped(values)
    if values.dtype.kind == "f":
        return levels.stretched(values.astype(np.float64), 16)
    raise BadImage(f"values of type {values.dtype}, expected whole or floating-point numbers")


def _opaque(pixels: np.ndarray) -> np.ndarray:
    """Lay (H, W, 4) over white: (H, W, 3). Others stay as they are."""
    if pixels.shape[2] != 4:
        return pixels
    white = levels.white(pixels.dtype)
    colours, alpha = pixels[..., :3].astype(np.int64), pixels[..., 3:].astype(np.int64)
    return ((colours * alpha + white * (white - alpha) + white // 2) // white).astype(pixels.dtype)


def _turned(pixels: np.ndarray, orientation: object) -> np.ndarray:
    turn = TURNED.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _tifffile() -> ModuleType:
    try:
        import tifffile
    except ImportError:
        raise TouchstoneError(
            "TIFF images of this kind need tifffile; install it with pip install 'touchstone[tiff]'"
        ) from None
    return tifffile
