"""Damaged metadata do not fail sound pixels; damaged pixels still do."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from touchstone.data.decode import decode
from touchstone.errors import BadImage

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind)
    return file.getvalue()


def decoded(content: bytes) -> np.ndarray:
    return decode(io.BytesIO(content), channels=3, max_pixels=10**6)


def chunk(kind: bytes, content: bytes, *, crc: int = 0) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content) ^ crc)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


@pytest.mark.parametrize("at", [33, -12], ids=["before the pixels", "after the pixels"])
@pytest.mark.parametrize(
    "damaged",
    {
        "text of 2 MiB": chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * (2 << 20))),
        "text with a wrong sum": chunk(b"tEXt", b"k\0v", crc=1),
        "text that is not compressed": chunk(b"iTXt", b"k\0\1\0\0\0x"),
        "profile": chunk(b"iCCP", b"x\0\0garbage"),
        "profile of 3 MiB": chunk(b"iCCP", b"x\0\0" + zlib.compress(b"a" * (3 << 20))),
        "exif": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        "exif that is none": chunk(b"eXIf", b"junk"),
        "size": chunk(b"pHYs", b"12"),
    }.values(),
)
def test_a_png_with_damaged_metadata(damaged: bytes, at: int) -> None:
    content = encoded("PNG")
    assert np.array_equal(decoded(content[:at] + damaged + content[at:]), PIXELS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "damaged",
    {
        "exif": segment(0xE1, b"Exif\0\0junk"),
        "exif cut off": segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
        "profile": segment(0xE2, b"ICC_PROFILE\0\x05\x01zz"),
        "pictures": segment(0xE2, b"MPF\0junk"),
        "photoshop": segment(0xED, b"Photoshop 3.0\x008BIM\x04"),
    }.values(),
)
def test_a_jpeg_with_damaged_metadata(damaged: bytes) -> None:
    content = encoded("JPEG")
    assert np.array_equal(decoded(content[:2] + damaged + content[2:]), decoded(content))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_damaged_pixels_are_still_refused(kind: str) -> None:
    content = encoded(kind)
    with pytest.raises(BadImage, match="cannot be decoded"):
        decoded(content[: len(content) * 2 // 3])


def test_a_png_whose_pixels_have_a_wrong_sum_is_refused() -> None:
    content = bytearray(encoded("PNG"))
    content[content.index(b"IDAT") + 10] ^= 1
    with pytest.raises(BadImage):
        decoded(bytes(content))


def test_transparent_grey_of_16_bits_goes_over_white() -> None:
    values = np.array([[0, 1000], [1000, 65535]], np.uint16)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", transparency=1000)
    assert decode(io.BytesIO(file.getvalue()), channels=1, max_pixels=9)[..., 0].tolist() == [[0, 255], [255, 255]]
