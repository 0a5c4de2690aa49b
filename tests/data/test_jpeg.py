"""JPEG is decoded by torchvision; Pillow's pixels are the right ones, damaged files included."""

import contextlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.io import decode_jpeg  # noqa: F401  so that it decodes here

from kit.project import ROOT, run
from touchstone.data import jpeg
from touchstone.data.decode import TURNS, decode
from touchstone.errors import BadImage

MODES = ("L", "RGB", "CMYK")


def scene(mode: str, *, seed: int = 0) -> Image.Image:
    """A smooth picture of odd sides, so that the last blocks of a JPEG are not full."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)
    return Image.fromarray(coarse).resize((61, 47), Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def by_pillow(content: bytes) -> np.ndarray:
    with contextlib.closing(Image.open(io.BytesIO(content))) as image:
        pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)


@pytest.mark.parametrize("quality", [30, 75, 100])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pixels_are_pillows(mode: str, subsampling: int, progressive: bool, quality: int) -> None:
    content = saved(scene(mode), subsampling=subsampling, progressive=progressive, quality=quality)
    np.testing.assert_array_equal(jpeg.pixels(content), by_pillow(content))


def test_colour_stored_as_red_green_and_blue() -> None:
    content = saved(scene("RGB"), keep_rgb=True)
    np.testing.assert_array_equal(jpeg.pixels(content), by_pillow(content))


@pytest.mark.parametrize("turn", TURNS.values(), ids=lambda turn: turn.name)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_turned_as_pillow_does(mode: str, turn: Image.Transpose) -> None:
    image = scene(mode)
    pixels = np.asarray(image).reshape(47, 61, -1)
    expected = np.asarray(image.transpose(turn))
    np.testing.assert_array_equal(jpeg.turned(pixels, turn), expected.reshape(*expected.shape[:2], -1))


@pytest.mark.parametrize(("mode", "is_plain"), [("L", True), ("RGB", True), ("CMYK", False)])
def test_what_pillow_has_to_convert_is_left_to_it(mode: str, is_plain: bool) -> None:
    content = saved(scene(mode))
    assert jpeg.is_plain(Image.open(io.BytesIO(content))) is is_plain
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode(io.BytesIO(content), channels=3, max_pixels=10**6), expected)


def test_other_formats_are_left_to_pillow() -> None:
    file = io.BytesIO()
    scene("RGB").save(file, "PNG")
    assert not jpeg.is_plain(Image.open(file))


def cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(2, len(content))]


def flipped(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(random.integers(1, 4)):
        changed[random.integers(2, len(changed))] = random.integers(0, 256)
    return bytes(changed)


def filled(content: bytes, random: np.random.Generator) -> bytes:
    at = random.integers(2, len(content))
    return content[:at] + random.bytes(int(random.integers(1, 9))) + content[at:]


def emptied(content: bytes, random: np.random.Generator) -> bytes:
    at = random.integers(200, len(content))
    return content[:at] + content[at + random.integers(1, 9) :]


def test_torchvision_is_imported_only_once_it_pays(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(saved(scene("RGB")))
    code = """
import io, sys
from touchstone.data import jpeg
from touchstone.data.decode import decode
content = open(sys.argv[1], "rb").read()
read = lambda: decode(io.BytesIO(content), channels=3, max_pixels=10**6)
first = read()
assert "torch" not in sys.modules
jpeg.PAYS = 3 * 61 * 47
assert (read() == first).all() and "torch" not in sys.modules
assert (read() == first).all() and "torch" not in sys.modules
assert (read() == first).all() and "torchvision.io" in sys.modules
"""
    run(sys.executable, "-c", code, file, cwd=ROOT)


@pytest.mark.filterwarnings("ignore")  # Pillow warns about what it skips
def test_damaged_files_have_the_same_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [saved(scene(mode), progressive=progressive) for mode in MODES for progressive in (False, True)]
    random = np.random.default_rng(0)
    damages = (cut, flipped, filled, emptied)
    contents = [damage(content, random) for damage in damages for content in whole for _ in range(50)]

    def outcome(content: bytes) -> str | bytes:
        try:
            pixels = decode(io.BytesIO(content), channels=None, max_pixels=10**5)
        except BadImage as error:
            return str(error)
        return repr(pixels.shape).encode() + pixels.tobytes()

    assert jpeg.pays(Image.open(io.BytesIO(whole[-1]))), "torchvision is imported in this process"
    by_torchvision = [outcome(content) for content in contents]
    with monkeypatch.context() as patch:
        patch.setattr(jpeg, "is_plain", lambda image: False)
        assert by_torchvision == [outcome(content) for content in contents]
    assert any(isinstance(each, bytes) for each in by_torchvision)
    assert any(isinstance(each, str) for each in by_torchvision)
