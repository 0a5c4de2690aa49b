import contextlib
import io
import struct
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from touchstone.data.decode import TURNS, decode
from touchstone.errors import BadImage, TouchstoneError

RNG = np.random.default_rng(0)
BANDS = RNG.integers(0, 65536, (6, 8, 5), np.uint16)
COLOURS = np.ascontiguousarray(BANDS[..., :3])


def decoded(content: bytes, channels: int | None = None, bits: int = 16, max_pixels: int = 10**6) -> np.ndarray:
    return decode(io.BytesIO(content), channels=channels, bits=bits, max_pixels=max_pixels)


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    tifffile = pytest.importorskip("tifffile")
    if "compression" in options:
        pytest.importorskip("imagecodecs")
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def by_opencv(pixels: np.ndarray, suffix: str) -> bytes:
    order = [2, 1, 0, 3][: pixels.shape[2]]
    return cv2.imencode(suffix, np.ascontiguousarray(pixels[..., order]))[1].tobytes()


def by_pillow(*images: Image.Image, suffix: str, **options: object) -> bytes:
    file = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
    images[0].save(file, suffix, **more, **options)
    return file.getvalue()


LAYOUTS = {
    "side by side": (BANDS, {"photometric": "minisblack", "planarconfig": "contig"}),
    "plane by plane": (np.moveaxis(BANDS, 2, 0), {"photometric": "minisblack", "planarconfig": "separate"}),
    "page by page": (np.moveaxis(BANDS, 2, 0), {"photometric": "minisblack"}),
    "compressed": (BANDS, {"photometric": "minisblack", "planarconfig": "contig", "compression": "zlib"}),
    "lzw, predicted": (
        BANDS,
        {"photometric": "minisblack", "planarconfig": "contig", "compression": "lzw", "predictor": True},
    ),
    "tiled": (BANDS, {"photometric": "minisblack", "planarconfig": "contig", "tile": (16, 16)}),
    "RGB and two more": (BANDS, {"photometric": "rgb", "planarconfig": "contig", "extrasamples": (0, 0)}),
    "big": (BANDS, {"photometric": "minisblack", "planarconfig": "contig", "bigtiff": True}),
    "big-endian": (BANDS, {"photometric": "minisblack", "planarconfig": "contig", "byteorder": ">"}),
    "ImageJ": (np.moveaxis(BANDS, 2, 0), {"imagej": True, "metadata": {"axes": "CYX"}}),
    "OME": (np.moveaxis(BANDS, 2, 0), {"ome": True, "metadata": {"axes": "CYX"}}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [5, None])
def test_five_channels_of_16_bits_are_kept_in_every_layout(layout: str, channels: int | None) -> None:
    pixels, options = LAYOUTS[layout]
    content = tiff(pixels, **options)
    np.testing.assert_array_equal(decoded(content, channels), BANDS)
    reduced = decoded(content, channels, bits=8)
    np.testing.assert_array_equal(reduced, np.rint(BANDS / 257).astype(np.uint8))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_three_and_four_samples(kind: type, planar: str) -> None:
    four = (BANDS[..., :4] >> (8 if kind is np.uint8 else 0)).astype(kind)
    for number, options in ((3, {}), (4, {"extrasamples": (0,)})):
        pixels = four[..., :number]
        stored = pixels if planar == "contig" else np.moveaxis(pixels, 2, 0)
        content = tiff(np.ascontiguousarray(stored), photometric="rgb", planarconfig=planar, **options)
        np.testing.assert_array_equal(decoded(content, number), pixels)
        np.testing.assert_array_equal(decoded(content), pixels)


def test_colours_of_16_bits_of_png_and_tiff_are_kept_without_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for suffix in (".png", ".tif"):
        content = by_opencv(COLOURS, suffix)
        np.testing.assert_array_equal(decoded(content, 3), COLOURS)
        grey = decoded(content, 1)
        assert (grey.dtype, grey.shape) == (np.uint16, (6, 8, 1))
        exact = COLOURS @ np.array([0.299, 0.587, 0.114])
        assert np.abs(grey[..., 0] - exact).max() < 2


def test_grey_of_16_bits_is_kept_and_8_bits_stay_8_bits() -> None:
    grey = by_pillow(Image.fromarray(BANDS[..., 0]), suffix="PNG")
    np.testing.assert_array_equal(decoded(grey, 1)[..., 0], BANDS[..., 0])
    np.testing.assert_array_equal(decoded(grey, 3), np.repeat(BANDS[..., :1], 3, 2))
    small = (BANDS[..., 0] >> 8).astype(np.uint8)
    plain = decoded(by_pillow(Image.fromarray(small), suffix="PNG"), 1)
    assert plain.dtype == np.uint8
    np.testing.assert_array_equal(plain[..., 0], small)


def test_pages_of_grey_are_channels_where_so_many_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)  # Pillow reads them
    content = by_pillow(*(Image.fromarray(BANDS[..., c]) for c in range(5)), suffix="TIFF")
    np.testing.assert_array_equal(decoded(content, 5), BANDS)
    np.testing.assert_array_equal(decoded(content, 1), BANDS[..., :1])
    assert decoded(content, 3, bits=8).shape == (6, 8, 3)
    with pytest.raises(BadImage, match=r"1 channels, expected 4 \(data.channels\)"):
        decoded(content, 4)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_goes_over_white_or_is_a_channel(suffix: str) -> None:
    alpha = np.dstack([COLOURS, np.where(np.arange(8) % 2, 65535, 0)[None].repeat(6, 0).astype(np.uint16)])
    if suffix == ".tif":
        content = tiff(alpha, photometric="rgb", planarconfig="contig", extrasamples=("unassalpha",))
    else:
        content = by_opencv(alpha, suffix)
    over = decoded(content, 3)
    np.testing.assert_array_equal(over[:, 1::2], COLOURS[:, 1::2])
    assert (over[:, ::2] == 65535).all()
    np.testing.assert_array_equal(decoded(content), over)
    np.testing.assert_array_equal(decoded(content, 4), alpha)


def test_pictures_with_alpha_have_four_channels_where_these_are_wanted() -> None:
    rgba = RNG.integers(0, 256, (6, 8, 4), np.uint8)
    content = by_pillow(Image.fromarray(rgba), suffix="PNG")
    np.testing.assert_array_equal(decoded(content, 4, bits=8), rgba)
    grey = by_pillow(Image.fromarray(np.ascontiguousarray(rgba[..., :2]), "LA"), suffix="PNG")
    np.testing.assert_array_equal(decoded(grey, 2, bits=8), rgba[..., :2])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (BANDS.astype(np.float32), None),
        (BANDS.astype(np.uint32) + 60000, np.minimum(BANDS.astype(int) + 60000, 65535)),
        (BANDS.astype(np.int16), np.maximum(BANDS.astype(np.int16), 0)),
    ],
)
def test_other_types_are_scaled_or_clipped(values: np.ndarray, expected: np.ndarray | None) -> None:
    content = tiff(values, photometric="minisblack", planarconfig="contig")
    pixels = decoded(content, 5)
    assert pixels.dtype == np.uint16
    if expected is None:
        assert (pixels.min(), pixels.max()) == (0, 65535)
        unit = (BANDS - BANDS.min()) / (int(BANDS.max()) - int(BANDS.min()))
        np.testing.assert_allclose(pixels, unit * 65535, atol=0.51)
    else:
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_as_pillow_does(orientation: int) -> None:
    tag = [("Orientation", "H", 1, orientation, True)]
    content = tiff(BANDS, photometric="minisblack", planarconfig="contig", extratags=tag)
    grey = Image.fromarray(BANDS[..., 0])
    turn = TURNS.get(orientation)
    np.testing.assert_array_equal(
        decoded(content, 5)[..., 0], np.asarray(grey if turn is None else grey.transpose(turn))
    )


@pytest.mark.parametrize(
    ("number", "wanted", "said"),
    [
        (5, 3, "5 channels, expected 3 (data.channels)"),
        (5, 4, "5 channels, expected 4 (data.channels)"),
        (3, 5, "3 channels, expected 5 (data.channels)"),
        (65, None, "65 channels, expected at most 64"),
    ],
)
def test_another_number_of_channels_is_refused(number: int, wanted: int | None, said: str) -> None:
    pixels = RNG.integers(0, 65536, (6, 8, number), np.uint16)
    with pytest.raises(BadImage) as caught:
        decoded(tiff(pixels, photometric="minisblack", planarconfig="contig"), wanted)
    assert str(caught.value) == said


def test_five_channels_where_three_of_8_bits_are_asked_for_point_to_the_setting() -> None:
    content = tiff(BANDS, photometric="minisblack", planarconfig="contig")
    with pytest.raises(BadImage, match=r"a TIFF that is not of 1 or 3 channels; data\.channels says how many are read"):
        decoded(content, 3, bits=8)


def test_sizes_are_checked_before_anything_is_decoded() -> None:
    for content in (tiff(BANDS, photometric="minisblack", planarconfig="contig"), by_opencv(COLOURS, ".png")):
        with pytest.raises(BadImage, match="8x6 is more than 47 pixels"):
            decoded(content, 5 if content[:1] in b"IM" else 3, max_pixels=47)
    huge = bytearray(by_opencv(COLOURS, ".png"))
    huge[16:24] = struct.pack(">II", 60000, 60000)
    with pytest.raises(BadImage, match="60000x60000 is more than"):
        decoded(bytes(huge), 3)


def test_without_the_extra_the_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    content = tiff(BANDS, photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(TouchstoneError, match=r"need tifffile; install it with pip install 'touchstone\[tiff\]'"):
        decoded(content, 5)


def npy(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def test_arrays_of_numpy_are_read_with_channels_first_or_last() -> None:
    np.testing.assert_array_equal(decoded(npy(BANDS)), BANDS)
    np.testing.assert_array_equal(decoded(npy(np.moveaxis(BANDS, 2, 0))), BANDS)
    np.testing.assert_array_equal(decoded(npy(BANDS[..., 0]), 1), BANDS[..., :1])
    np.testing.assert_array_equal(decoded(npy(BANDS), 6), np.moveaxis(BANDS, 0, 2))
    np.testing.assert_array_equal(decoded(npy(BANDS[..., :3]), 3, bits=8), np.rint(BANDS[..., :3] / 257))
    assert decoded(npy(BANDS / 65535), 5).max() == 65535
    for content, said in (
        (npy(np.zeros(3)), r"an array of shape \(3,\), expected \(H, W\)"),
        (npy(BANDS)[:-9], "cannot be decoded"),
        (npy(np.array([[{}]])), "cannot be decoded"),
        (npy(np.zeros((9, 0, 3))), r"no pixels \(0x9\)"),
        (npy(BANDS), r"5 channels, expected 4 \(data.channels\)"),
    ):
        with pytest.raises(BadImage, match=said):
            decoded(content, 4)
    with pytest.raises(BadImage, match="8x6 is more than 47 pixels"):
        decoded(npy(BANDS), 5, max_pixels=47)


@pytest.mark.parametrize("make", [lambda: by_opencv(COLOURS, ".png"), lambda: LAYOUTS["compressed"]])
def test_damaged_bytes_raise_nothing_but_bad_image(make) -> None:
    made = make()
    content = made if isinstance(made, bytes) else tiff(made[0], **made[1])
    rng = np.random.default_rng(1)
    for cut in (len(content) // 2, len(content) - 20):
        with pytest.raises(BadImage):
            decoded(content[:cut], 5 if made is not content else 3)
    for _ in range(150):
        damaged = bytearray(content)
        for place in rng.integers(8, len(content), 3):
            damaged[place] = rng.integers(256)
        with contextlib.suppress(BadImage):
            decoded(bytes(damaged), None)
