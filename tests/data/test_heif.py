import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kit.pictures import classes, lay, read, zipped
from touchstone.data.decode import decode, image_suffixes
from touchstone.data.heif import is_heif
from touchstone.data.raw_images import Preparation, decode_all
from touchstone.data.sources import load_source
from touchstone.errors import BadImage, TouchstoneError


def smooth() -> np.ndarray:
    """A picture of 24x16 px that a lossy format keeps nearly as it is."""
    y, x = np.mgrid[:16, :24]
    return np.stack([x * 10, y * 15, (x + y) * 6], axis=-1).astype(np.uint8)


def encoded(format: str, **options: object) -> bytes:
    if format == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    Image.fromarray(smooth()).save(file, format, quality=100, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_telephones_are_read(format: str, channels: int) -> None:
    got = decode(io.BytesIO(encoded(format)), channels=channels, max_pixels=16 * 24).astype(int)
    expected = smooth() if channels == 3 else np.asarray(Image.fromarray(smooth()).convert("L"))[..., None]
    assert np.abs(got - expected).mean() < 4


def test_their_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    got = decode(io.BytesIO(encoded("HEIF", exif=exif.tobytes())), channels=3, max_pixels=10**6).astype(int)
    assert np.abs(got - np.rot90(smooth(), -1)).mean() < 4


def test_damaged_and_large_ones_are_bad_images() -> None:
    content = encoded("HEIF")
    for size in (100, len(content) // 2):
        with pytest.raises(BadImage, match=r"cannot be decoded|not an image"):
            decode(io.BytesIO(content[:size]), channels=3, max_pixels=10**6)
    with pytest.raises(BadImage, match="24x16 is more than 100 pixels"):
        decode(io.BytesIO(content), channels=3, max_pixels=100)


@pytest.mark.parametrize(
    ("brands", "expected"),
    [
        ([b"heic", b"mif1", b"heic"], True),
        ([b"mif1", b"mif1", b"heix"], True),
        ([b"mif1", b"mif1"], True),
        ([b"avif", b"mif1", b"miaf"], False),
        ([b"mif1", b"avif"], False),
        ([b"isom", b"mp42"], False),
    ],
)
def test_the_brands_tell_heif_from_avif(brands: list[bytes], expected: bool) -> None:
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    assert is_heif((4 + len(body)).to_bytes(4, "big") + body + b"heicheic" * 9) is expected
    assert not is_heif(b"")


@pytest.mark.parametrize("resize", ["squash", "shortest_edge"])
def test_without_pillow_heif_the_images_are_named_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resize: str
) -> None:
    root = lay(tmp_path / "in", classes("cat", "dog"))
    content = b"\x00\x00\x00\x18ftypheic"
    for name in ("cat/a.heic", "cat/b.jpg", "dog/c.HEIC"):
        (root / name).write_bytes(content + name.encode() * 20)
    raws = [tmp_path / name for name in ("raw", "raw-of-zip")]
    read(root, raws[0])
    read(zipped(root), raws[1])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for raw in raws:
        how = Preparation(channels=3, image_size=4, resize=resize, max_pixels=100)
        with pytest.raises(TouchstoneError) as raised:
            decode_all(load_source("folder").read(raw), how, tmp_path / "pixels.npy")
        assert str(raised.value) == (
            "cat/a.heic: HEIC images need pillow-heif; install it with pip install 'touchstone[heic]' "
            "(3 of 7 images: cat 2, dog 1)"
        )
        assert not isinstance(raised.value, BadImage)


def test_few_images_are_read_to_count_those_that_need_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single HEIC image among 500,000 JPEGs made preparation read all of them."""
    root = lay(tmp_path / "in", classes("ant", "cat", "dog", count=20))
    for name in ("cat/a.heic", "dog/b.HEIC", "dog/c.jpg"):
        (root / name).write_bytes(b"\x00\x00\x00\x18ftypheic" + name.encode() * 20)
    read(root, tmp_path / "raw")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("touchstone.data.raw_images.LOOK", 4)
    raw = load_source("folder").read(tmp_path / "raw")
    looked_at: list[str] = []

    def pixels(index: int, *, max_pixels: int, **how: int) -> np.ndarray:
        looked_at.extend([raw.images[index].file] * (max_pixels == 0))
        return plain(index, max_pixels=max_pixels, **how)

    plain, raw.pixels = raw.pixels, pixels
    with pytest.raises(TouchstoneError, match=r"^cat/a\.heic: HEIC .* \(at least 2 of 63 images: cat 1, dog 1\)$"):
        decode_all(raw, Preparation(channels=3, image_size=4, resize="squash", max_pixels=100), tmp_path / "pixels.npy")
    assert looked_at == ["cat/a.heic", "dog/b.HEIC", "ant/0.png", "ant/1.png"]


def test_other_errors_are_not_counted(tmp_path: Path) -> None:
    read(lay(tmp_path / "in", classes("cat", "dog")), tmp_path / "raw")
    (tmp_path / "raw/files.zip").write_bytes(b"")
    raw = load_source("folder").read(tmp_path / "raw")
    how = Preparation(channels=3, image_size=4, resize="squash", max_pixels=100)
    with pytest.raises(TouchstoneError, match=r"^[^:]*files\.zip: damaged .*; run `dvc repro --force download`$"):
        decode_all(raw, how, tmp_path / "pixels.npy")


def test_without_pillow_heif_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {".heic", ".heif", ".avif"} <= image_suffixes()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content = io.BytesIO(b"\x00\x00\x00\x18ftypheic" + bytes(100))
    with pytest.raises(TouchstoneError, match=r"need pillow-heif; .* 'touchstone\[heic\]'") as raised:
        decode(content, channels=3, max_pixels=100)
    assert not isinstance(raised.value, BadImage), "it is no fault of the image, so bad_images: skip must not hide it"
