import contextlib
import io
import struct
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from touchstone.data.decode import as_channels, decode, image_suffixes
from touchstone.errors import BadImage

RAMP = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)  # (H, W) = (4, 6): a transposition would show


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def decoded(file: io.BytesIO, channels: int = 3, max_pixels: int = 10**6) -> np.ndarray:
    pixels = decode(file, channels=channels, max_pixels=max_pixels)
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == channels
    return pixels


def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601, in Pillow's fixed point."""
    return ((rgb.astype(int) @ [19595, 38470, 7471] + 0x8000) >> 16).astype(np.uint8)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> io.BytesIO:
    """A PNG that declares a size and holds no pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b""))


# --- modes ---


def test_grey_stays_and_is_repeated() -> None:
    file = encoded(Image.fromarray(RAMP))
    np.testing.assert_array_equal(decoded(file, channels=1)[..., 0], RAMP)
    file.seek(0)
    np.testing.assert_array_equal(decoded(file), np.stack([RAMP] * 3, axis=2))


def test_colour_stays_and_becomes_luma() -> None:
    rgb = colours()
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(rgb))), rgb)
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(rgb)), channels=1)[..., 0], luma(rgb))


def test_as_channels_follows_the_same_rule() -> None:
    rgb = colours()
    np.testing.assert_array_equal(as_channels(rgb, 1)[..., 0], luma(rgb))
    np.testing.assert_array_equal(as_channels(rgb, 3), rgb)
    np.testing.assert_array_equal(as_channels(RAMP[..., None], 3), np.stack([RAMP] * 3, axis=2))
    np.testing.assert_array_equal(as_channels(RAMP[..., None], 1), RAMP[..., None])


def test_one_bit_is_black_and_white() -> None:
    bits = RAMP > 100
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(bits)), channels=1)[..., 0], bits * 255)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])  # PPM is read as mode I, the others as I;16
def test_sixteen_bits_are_divided_by_257(format: str) -> None:
    grey = np.array([[0, 128, 129, 257], [385, 386, 32768, 65535]], np.uint16)
    got = decoded(encoded(Image.fromarray(grey), format), channels=1)[..., 0]
    np.testing.assert_array_equal(got, np.rint(grey / 257))


def test_sixteen_bits_big_endian() -> None:
    image = Image.frombytes("I;16B", (2, 1), b"\x01\x01\xff\xff")
    assert decoded(encoded(image, "TIFF"), channels=1).ravel().tolist() == [1, 255]


def test_integers_are_clipped() -> None:
    image = Image.fromarray(np.array([[-5, 0, 257, 65535, 10**6]], np.int32))
    assert decoded(encoded(image, "TIFF"), channels=1).ravel().tolist() == [0, 0, 1, 255, 255]


def test_floats_are_stretched() -> None:
    image = Image.fromarray(np.array([[-1.0, 0.0, 1.0, np.nan, np.inf, -np.inf]], np.float32))
    assert decoded(encoded(image, "TIFF"), channels=1).ravel().tolist() == [0, 128, 255, 0, 255, 0]


def test_constant_floats_are_zero() -> None:
    assert not decoded(encoded(Image.new("F", (3, 2), 7.5), "TIFF")).any()


def test_sixteen_bit_colour_is_read_as_eight() -> None:
    row = b"\x00" + struct.pack(">6H", 0x1234, 0xFFFF, 0, 0x80FF, 0x00FF, 0x0100)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(row)) + png_chunk(b"IEND", b"")
    got = decoded(io.BytesIO(b"\x89PNG\r\n\x1a\n" + header + data))
    assert got.tolist() == [[[0x12, 0xFF, 0], [0x80, 0, 1]]]


@pytest.mark.parametrize(
    ("mode", "format"),
    [("P", "PNG"), ("CMYK", "TIFF"), ("CMYK", "JPEG"), ("YCbCr", "TIFF"), ("LAB", "TIFF"), ("RGBX", "TIFF")],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_other_colour_modes_follow_pillow(mode: str, format: str, channels: int) -> None:
    file = encoded(Image.fromarray(colours()).convert(mode), format)
    expected = np.asarray(Image.open(file).convert("RGB"))
    file.seek(0)
    np.testing.assert_array_equal(decoded(file, channels), as_channels(expected, channels))


# --- transparency ---


@pytest.mark.parametrize(
    ("mode", "format"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "TIFF"), ("LA", "TIFF"), ("PA", "TIFF")]
)
def test_alpha_is_composited_over_white(mode: str, format: str) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = 0, 51, 255  # black at three opacities
    image = Image.fromarray(rgba).convert(mode)
    assert decoded(encoded(image, format), channels=1).ravel().tolist() == [255, 204, 0]
    assert decoded(encoded(image, format))[0, :, 2].tolist() == [255, 204, 0]


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_alpha_is_composited_over_white(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = "LA" if mode == "La" else "RGBA"  # no format that Pillow writes holds these modes
    image = Image.new(straight, (2, 1), (0, 51) if mode == "La" else (0, 0, 0, 51)).convert(mode)
    monkeypatch.setattr(Image, "open", lambda *_, **__: image)
    assert decoded(io.BytesIO(), channels=1).ravel().tolist() == [204, 204]


def test_hsv_follows_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(colours()).convert("HSV")
    monkeypatch.setattr(Image, "open", lambda *_, **__: image)
    np.testing.assert_array_equal(decoded(io.BytesIO()), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("image", "transparency"),
    [
        (Image.fromarray(np.array([[0, 80]], np.uint8)), 0),
        (Image.fromarray(np.array([[[0, 0, 0], [80, 80, 80]]], np.uint8)), (0, 0, 0)),
        (Image.fromarray(np.array([[[0, 0, 0], [80, 80, 80]]], np.uint8)).quantize(2), None),
    ],
    ids=["L", "RGB", "P"],
)
def test_a_transparent_colour_becomes_white(image: Image.Image, transparency: object) -> None:
    if image.mode == "P":
        transparency = image.getpixel((0, 0))
    file = encoded(image, transparency=transparency)
    assert decoded(file)[0, :, 1].tolist() == [255, 80]
    file.seek(0)
    assert decoded(file, channels=1).ravel().tolist() == [255, 80]


def test_a_transparent_bit_becomes_white() -> None:
    file = encoded(Image.fromarray(np.array([[False, True]])), transparency=0)
    assert decoded(file, channels=1).ravel().tolist() == [255, 255]


def test_palette_with_opacities() -> None:
    image = Image.fromarray(np.zeros((1, 2, 3), np.uint8)).quantize(1)
    assert decoded(encoded(image, transparency=b"\x33"), channels=1).ravel().tolist() == [204, 204]


# --- frames and orientation ---


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_first_frame_of_many(format: str) -> None:
    frames = [Image.new("RGB", (5, 3), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if format == "WEBP" else {}
    file = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert (decoded(file) == [255, 0, 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    undo: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: np.transpose,
        6: np.rot90,
        7: lambda x: np.rot90(np.transpose(x), 2),
        8: lambda x: np.rot90(x, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(undo[orientation](RAMP))
    np.testing.assert_array_equal(decoded(encoded(Image.fromarray(stored), exif=exif), channels=1)[..., 0], RAMP)


# --- bad images ---


@pytest.mark.parametrize("content", [b"", b"hello", b"%PDF-1.4", bytes(1000)])
def test_not_an_image(content: bytes) -> None:
    with pytest.raises(BadImage, match=r"^not an image"):
        decoded(io.BytesIO(content))


def test_eps_is_not_run() -> None:
    file = encoded(Image.new("RGB", (4, 4)), "EPS")
    with pytest.raises(BadImage, match=r"^not an image"):
        decoded(file)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "TGA", "QOI"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated(format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    content = encoded(Image.fromarray(noise), format).getvalue()
    with pytest.raises(BadImage) as raised:
        decoded(io.BytesIO(content[: int(len(content) * share)]))
    assert str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore")  # Pillow warns about what it skips
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PCX", "ICO", "JPEG2000", "TGA"])
def test_damaged_bytes_raise_nothing_else(format: str) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (16, 16, 3), np.uint8)
    content = np.frombuffer(encoded(Image.fromarray(noise), format).getvalue(), np.uint8)
    for _ in range(60):
        damaged = content.copy()
        damaged[rng.integers(0, min(200, len(content)), 3)] = rng.integers(0, 256, 3)
        with contextlib.suppress(BadImage):
            decoded(io.BytesIO(damaged.tobytes()))


@pytest.mark.parametrize(
    "error",
    [OSError("a\nb"), SyntaxError("x"), ValueError(), struct.error("x"), EOFError(), zlib.error("x"), KeyError()],
)
def test_whatever_pillow_raises(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(BadImage, match=r"^cannot be decoded \(.+\)$"):
        decoded(encoded(Image.fromarray(RAMP)))


def test_no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: Image.new("L", (0, 5)))
    with pytest.raises(BadImage, match=r"no pixels \(0x5\)"):
        decoded(io.BytesIO())


def test_max_pixels_itself_is_allowed() -> None:
    assert decoded(encoded(Image.fromarray(RAMP)), max_pixels=24).shape == (4, 6, 3)
    with pytest.raises(BadImage, match="6x4 is more than 23 pixels"):
        decoded(encoded(Image.fromarray(RAMP)), max_pixels=23)


def test_size_is_checked_before_decoding() -> None:
    with pytest.raises(BadImage, match="5000x5000 is more than 1000000 pixels"):
        decoded(png_header(5000, 5000))


def test_size_that_shows_after_decoding() -> None:
    picture = encoded(Image.new("RGBA", (40, 40))).getvalue()
    header = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(picture), 22)  # an icon that says 16x16
    with pytest.warns(UserWarning, match="size"), pytest.raises(BadImage, match="40x40 is more than 256 pixels"):
        decoded(io.BytesIO(header + picture), max_pixels=256)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow warns of the first and refuses the second
def test_pillows_own_limit(side: int) -> None:
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(BadImage, match=r"more than .* pixels"):
        decoded(png_header(side, side), max_pixels=10**12)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.filterwarnings("error")
def test_pillows_warning_as_an_error() -> None:
    with pytest.raises(BadImage):
        decoded(png_header(10_000, 10_000), max_pixels=10**12)


def test_from_many_threads() -> None:
    content = encoded(Image.fromarray(colours())).getvalue()
    start = threading.Barrier(8)

    def one(_: int) -> np.ndarray:
        start.wait()
        return decoded(io.BytesIO(content))

    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(one, range(8)):
            np.testing.assert_array_equal(got, colours())


def test_suffixes() -> None:
    suffixes = image_suffixes()
    assert {".png", ".jpg", ".jpeg", ".webp", ".tif", ".bmp", ".gif", ".pgm"} <= suffixes
    assert not suffixes & {".pdf", ".eps", ".txt", ".h5", ".mpg", ""}
    assert all(suffix == suffix.lower() for suffix in suffixes)
