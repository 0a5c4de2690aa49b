"""Decodes image files to uint8 pixels by one rule, or with more channels and bits where these are asked for.

    in the file                                       decoded to 1 or 3 channels of 8 bits
    several frames or pages                           the first
    EXIF orientation                                  applied; as stored where the EXIF data are damaged
    alpha, or a colour declared transparent           composited over white
    16-bit grey, 32-bit integers (I;16*, I)           value / 257, rounded, clipped to 0..255; a transparent value white
    1 bit                                             0 and 255
    float (F)                                         its own minimum..maximum -> 0..255; a constant image -> 0
    palette, CMYK, YCbCr, LAB, HSV                    Pillow's convert("RGB")
    16-bit RGB                                        8 bits, as Pillow reads it
    colour, one channel wanted                        Pillow's "L": ITU-R 601 luma
    grey, three channels wanted                       the grey repeated
    JPEG, grey or colour                              Pillow's pixels, by torchvision where it pays (jpeg.py)
    HEIC, HEIF                                        the primary image, by pillow-heif, in 8 bits
    DICOM                                             the first frame, rescaled, through its first window (dicom.py);
                                                      without a window: 8 bits as they are, others as floats

With 16 bits, pixels of more than 8 bits are uint16 and keep their values (deep.py), DICOM's grey is rescaled or shown
through its window in 16 bits, and floats are scaled to 0..65535; pixels of 8 bits stay uint8. Other numbers of channels
than 1 and 3 are taken as they lie in the file, alpha among them: samples of a pixel, or pages of grey.

EPS is not read, because Pillow would run Ghostscript for it.
"""

import contextlib
import functools
import io
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from touchstone.data import deep, dicom, heif, jpeg, levels
from touchstone.data.metadata import without_metadata
from touchstone.errors import BadImage, TouchstoneError

# EXIF orientation -> how the stored pixels are turned. Source: Exif 2.32, tag 0x0112.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# EPS runs a program. Pillow reads only the headers of the others and leaves the pixels to a plug-in or to Windows; HEIF
# is opened by heif.py alone, so that nothing else depends on whether its plug-in is registered.
NOT_DECODED = frozenset({"EPS", "BUFR", "GRIB", "HDF5", "HEIF", "MPEG", "WMF"})
PLAIN = (1, 3)  # channels that images can be converted to: grey, colour
HEAD_BYTES = 132  # enough to recognise the formats that Pillow does not read by itself


def decode(file: BinaryIO, *, channels: int | None, max_pixels: int, bits: int = 8) -> np.ndarray:
    """Decode an image file completely and return uint8 (H, W, channels), by the rule of this module.

    With 16 bits it is uint16 where the file has more than 8. channels: None for as many as the file has. `max_pixels`
    (H * W) and Pillow's `Image.MAX_IMAGE_PIXELS` are checked before anything is decoded. Raises BadImage where the file
    is not an image, is truncated, damaged, empty or too large, or has other channels, and TouchstoneError where its
    format needs an extra that is not installed. Safe to call from several threads.
    """
    content = file.read()
    try:
        return _decode(content, channels, bits, max_pixels)
    except TouchstoneError:  # BadImage included
        raise
    except Exception as error:
        plain = without_metadata(content)
        if plain is not None and not isinstance(error, Image.DecompressionBombError):
            with contextlib.suppress(Exception):  # where the pixels are damaged, too, the first error says why
                return _decode(plain, channels, bits, max_pixels)
        raise _bad(error, content, max_pixels) from error


def _decode(content: bytes, channels: int | None, bits: int, max_pixels: int) -> np.ndarray:
    file, head = io.BytesIO(content), content[:HEAD_BYTES]
    if dicom.is_dicom(head):
        return as_channels(_dicom_pixels(file, bits, max_pixels), channels)
    if bits > 8 or channels not in PLAIN or content.startswith(deep.NPY):
        pixels = deep.read(content, channels, lambda width, height: _check_sides(width, height, max_pixels))
        if pixels is not None:
            return as_channels(pixels if bits > 8 else levels.of_depth(pixels, bits), channels)
    image = heif.open_heif(file) if heif.is_heif(head) else Image.open(file, formats=_formats())
    _check_size(image, max_pixels)
    if jpeg.is_plain(image) and jpeg.pays(image) and (decoded := jpeg.pixels(content)) is not None:
        turn = _turn(image)
        return as_channels(decoded if turn is None else jpeg.turned(decoded, turn), channels)
    image.load()
    image = _upright(image)
    _check_size(image, max_pixels)  # only now is an icon's real size known
    return as_channels(_pixels(image, bits, is_plain=channels is None or channels in PLAIN), channels)


def _bad(error: Exception, content: bytes, max_pixels: int) -> BadImage:
    if isinstance(error, UnidentifiedImageError):
        if content.startswith(deep.TIFF):
            return BadImage("a TIFF that is not of 1 or 3 channels; data.channels says how many are read")
        return BadImage("not an image, or in a format that Pillow does not read")
    if isinstance(error, Image.DecompressionBombError):
        return BadImage(f"more than {max_pixels} pixels")
    # On damaged bytes Pillow raises almost anything, TypeError and IndexError included.
    # Not errors.one_line, whose code is not hashed: the reason is written to findings/left_out.csv.
    reason = " ".join(str(error).split()) or type(error).__name__
    return BadImage(f"cannot be decoded ({reason})")


def _upright(image: Image.Image) -> Image.Image:
    """Return the image as its EXIF orientation says; as it is where that cannot be read."""
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # on damaged metadata Pillow raises almost anything; the pixels have been read by now
        return None
    return TURNS.get(orientation) if isinstance(orientation, int) else None


def as_channels(pixels: np.ndarray, channels: int | None) -> np.ndarray:
    """Convert (H, W, 1 or 3) to (H, W, channels), of the same type: colour to luma, grey to repeated grey.

    None keeps the image's own channels. Raises BadImage on any other difference.
    """
    own = pixels.shape[2]
    if channels is None or own == channels:
        return pixels
    if own not in PLAIN or channels not in PLAIN:
        raise deep.wrong_number(own, channels)
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    if pixels.dtype != np.uint8:
        return levels.luma(pixels)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Return the lower-case file suffixes, with their dot, of the formats that `decode` reads."""
    formats = _formats()
    of_pillow = (suffix for suffix, name in Image.registered_extensions().items() if name in formats)
    return frozenset((*of_pillow, *heif.SUFFIXES, *dicom.SUFFIXES))


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(sorted(set(Image.OPEN) - NOT_DECODED))


def _dicom_pixels(file: BinaryIO, bits: int, max_pixels: int) -> np.ndarray:
    """Return uint8 or, with 16 bits, perhaps uint16 (H, W, 1 or 3)."""
    pixels = dicom.read_pixels(file, lambda width, height: _check_sides(width, height, max_pixels), bits=bits)
    return levels.stretched(pixels, bits)[:, :, None] if pixels.ndim == 2 else pixels


def _check_size(image: Image.Image, max_pixels: int) -> None:
    _check_sides(*image.size, max_pixels)


def _check_sides(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise BadImage(f"no pixels ({width}x{height})")
    # Between one and two times its own limit Pillow only warns, so that limit is checked here as well.
    limit = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels)
    if width * height > limit:
        raise BadImage(f"{width}x{height} is more than {limit} pixels")


def _pixels(image: Image.Image, bits: int, *, is_plain: bool) -> np.ndarray:
    """Return (H, W, 1) for a grey image and (H, W, 3) for any other; uint8 or, with 16 bits, perhaps uint16.

    is_plain: whether transparency is laid over white; else it is one more channel.
    """
    if image.mode == "F":
        return levels.stretched(np.asarray(image, np.float64), bits)[:, :, None]
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = levels.clipped(np.asarray(image).astype(np.int64))
        grey = levels.of_depth(values, bits)
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey[values == transparent] = levels.white(grey.dtype)
        return grey[:, :, None]
    if image.has_transparency_data:
        # La is the one mode without a direct way to RGBA.
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        if not is_plain:
            return np.asarray(rgba.convert("LA") if image.mode in ("LA", "La") else rgba)
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))
