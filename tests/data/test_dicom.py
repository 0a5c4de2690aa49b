import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.images import picture
from touchstone.data.decode import decode, image_suffixes
from touchstone.data.dicom import patient
from touchstone.data.sources import folder
from touchstone.errors import BadImage, TouchstoneError

RAMP = np.arange(0, 240, 10).reshape(4, 6)  # (H, W) = (4, 6): a transposition would show


def encoded(pixels: np.ndarray, *, bits: int = 0, interpretation: str = "MONOCHROME2", **elements: Any) -> bytes:
    """A DICOM file of an image (H, W[, 3]) or of several (N, H, W), with further elements by their keywords."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileMetaDataset

    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    colour = interpretation == "RGB" or interpretation.startswith("YBR")
    frames = pixels.shape[0] if pixels.ndim == 3 and not colour else 0
    if frames:
        dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = pixels.shape[1:3] if frames else pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = interpretation
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def decoded(content: bytes, channels: int = 1, max_pixels: int = 10**6) -> np.ndarray:
    pixels = decode(io.BytesIO(content), channels=channels, max_pixels=max_pixels)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == channels
    return pixels[..., 0] if channels == 1 else pixels


# --- pixels ---


def test_eight_bits_stay_and_monochrome1_is_inverted() -> None:
    grey = RAMP.astype(np.uint8)
    np.testing.assert_array_equal(decoded(encoded(grey)), grey)
    np.testing.assert_array_equal(decoded(encoded(grey, interpretation="MONOCHROME1")), 255 - grey)
    np.testing.assert_array_equal(decoded(encoded(grey), channels=3), np.stack([grey] * 3, axis=2))


def test_more_bits_without_a_window_are_stretched() -> None:
    values = (RAMP * 10 - 500).astype(np.int16)  # -500..1800
    expected = np.rint((values + 500) / 2300 * 255)
    np.testing.assert_array_equal(decoded(encoded(values)), expected)
    np.testing.assert_array_equal(decoded(encoded(values, interpretation="MONOCHROME1")), 255 - expected)
    assert not decoded(encoded(np.full((2, 3), 7, np.uint16))).any()


@pytest.mark.parametrize(
    ("function", "centre", "width", "expected"),
    [
        # Hounsfield units: stored values times 2 minus 1000; by the formulas of PS3.3 C.11.2.1.2.
        (None, 40, 400, lambda hu: (hu - 39.5) / 399 + 0.5),
        ("LINEAR", [40, 50], [400, 350], lambda hu: (hu - 39.5) / 399 + 0.5),
        ("LINEAR_EXACT", 40, 400, lambda hu: (hu - 40) / 400 + 0.5),
        ("SIGMOID", 40, 400, lambda hu: 1 / (1 + np.exp(-4 * (hu - 40) / 400))),
        ("LINEAR", 40, 1, lambda hu: hu > 39.5),
    ],
)
@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_is_rescaled_and_seen_through_the_first_window(
    function: str | None, centre: Any, width: Any, expected: Any, interpretation: str
) -> None:
    stored = np.array([[0, 400, 420, 500], [520, 540, 620, 3000]], np.uint16)
    elements = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": centre, "WindowWidth": width}
    elements |= {"VOILUTFunction": function} if function else {}
    unit = np.clip(expected(stored * 2.0 - 1000), 0, 1)
    got = decoded(encoded(stored, bits=12, interpretation=interpretation, **elements))
    np.testing.assert_array_equal(got, np.rint((1 - unit if interpretation == "MONOCHROME1" else unit) * 255))


def kept(content: bytes) -> np.ndarray:
    return decode(io.BytesIO(content), channels=1, bits=16, max_pixels=10**6)[..., 0]


def test_more_bits_are_kept_where_16_are_asked_for() -> None:
    twelve = np.array([[0, 1, 2047], [2048, 4094, 4095]], np.uint16)
    np.testing.assert_array_equal(kept(encoded(twelve, bits=12)), np.rint(twelve * (65535 / 4095)))
    inverted = kept(encoded(twelve, bits=12, interpretation="MONOCHROME1"))
    np.testing.assert_array_equal(inverted, np.rint((4095 - twelve.astype(int)) * (65535 / 4095)))
    whole = np.array([[0, 257, 65535]], np.uint16)
    np.testing.assert_array_equal(kept(encoded(whole)), whole)
    window = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 40, "WindowWidth": 400}
    stored = np.array([[0, 500, 520, 3000]], np.uint16)
    unit = np.clip((stored * 2.0 - 1000 - 39.5) / 399 + 0.5, 0, 1)
    np.testing.assert_array_equal(kept(encoded(stored, bits=12, **window)), np.rint(unit * 65535))
    signed = (RAMP * 10 - 500).astype(np.int16)
    np.testing.assert_array_equal(kept(encoded(signed)), np.rint((signed + 500) / 2300 * 65535))
    grey = kept(encoded(RAMP.astype(np.uint8)))
    assert grey.dtype == np.uint8
    deep = np.random.default_rng(0).integers(0, 65536, (4, 6, 3), np.uint16)
    colours = decode(io.BytesIO(encoded(deep, interpretation="RGB")), channels=3, bits=16, max_pixels=10**6)
    np.testing.assert_array_equal(colours, deep)


def test_a_table_of_values_of_interest() -> None:
    pydicom = pytest.importorskip("pydicom")
    item = pydicom.Dataset()
    item.LUTDescriptor, item.LUTData = [4, 100, 16], [0, 65535, 257, 514]
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    stored = np.array([[99, 100, 101], [102, 103, 104]], np.uint16)
    got = decoded(encoded(stored, VOILUTSequence=[item]))
    assert got.tolist() == [[0, 0, 255], [1, 2, 2]]


def test_colour_of_eight_and_sixteen_bits_and_the_first_frame() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    np.testing.assert_array_equal(decoded(encoded(rgb, interpretation="RGB"), channels=3), rgb)
    deep = rgb.astype(np.uint16) * 257
    np.testing.assert_array_equal(decoded(encoded(deep, interpretation="RGB"), channels=3), rgb)
    frames = np.stack([RAMP, RAMP + 1, RAMP + 2]).astype(np.uint8)
    np.testing.assert_array_equal(decoded(encoded(frames)), RAMP)


def test_ybr_and_palettes_become_colour() -> None:
    grey_in_ybr = np.stack([RAMP, np.full((4, 6), 128), np.full((4, 6), 128)], axis=-1).astype(np.uint8)
    got = decoded(encoded(grey_in_ybr, interpretation="YBR_FULL"), channels=3)
    np.testing.assert_array_equal(got, np.stack([RAMP] * 3, axis=-1))
    palette: dict[str, Any] = {}
    for name, first in (("Red", 255), ("Green", 0), ("Blue", 128)):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [2, 0, 16]
        palette[f"{name}PaletteColorLookupTableData"] = np.array([first, 255], np.uint16) * 257
        palette[f"{name}PaletteColorLookupTableData"] = palette[f"{name}PaletteColorLookupTableData"].tobytes()
    indices = np.array([[0, 1, 0]], np.uint8)
    got = decoded(encoded(indices, interpretation="PALETTE COLOR", **palette), channels=3)
    assert got.tolist() == [[[255, 0, 128], [255, 255, 255], [255, 0, 128]]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: encoded(RAMP.astype(np.uint8))[:-5], "cannot be decoded"),
        (lambda: encoded(RAMP.astype(np.uint8))[:200], "a DICOM file without an image|cannot be decoded"),
        (lambda: bytes(128) + b"DICM" + b"\xff" * 50, "cannot be decoded|without an image"),
        (
            lambda: encoded(RAMP.astype(np.uint16), WindowCenter=3, WindowWidth=0),
            "WindowWidth is 0, expected at least 1",
        ),
        (
            lambda: encoded(RAMP.astype(np.uint8), Rows=20_000, Columns=20_000),
            "20000x20000 is more than 1000000 pixels",
        ),
        (lambda: encoded(RAMP.astype(np.uint8), Rows=0), "no pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_files(content: Any, said: str) -> None:
    pytest.importorskip("pydicom")
    made = content()
    with pytest.raises(BadImage, match=said) as raised:
        decoded(made)
    assert "\n" not in str(raised.value)


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    for call in (lambda: decoded(bytes(128) + b"DICM"), lambda: patient(bytes(128) + b"DICM")):
        with pytest.raises(
            TouchstoneError, match=r"need pydicom; install it with pip install 'touchstone\[dicom\]'"
        ) as e:
            call()
        assert not isinstance(e.value, BadImage), "it is no fault of the image, so bad_images: skip must not hide it"


def test_without_pydicom_download_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in (1, 2):
            (tmp_path / "in" / label / f"{number}.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "raw").mkdir()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(TouchstoneError, match=r"cat/1\.dcm: .* need pydicom"):
        folder.download(to=tmp_path / "raw", path=tmp_path / "in", mirror="")


# --- patients ---


def test_the_patient_is_a_column_that_data_group_may_name(tmp_path: Path) -> None:
    assert {".dcm", ".dicom"} <= image_suffixes()
    grey = RAMP.astype(np.uint8)
    for name, owner in (("a/1.dcm", "p1"), ("a/2.DCM", " p2 "), ("b/1.dicom", "p1"), ("b/2.dcm", "")):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(encoded(grey + len(name), PatientID=owner))
    (tmp_path / "in/b/3.png").write_bytes(picture("x"))
    (tmp_path / "raw").mkdir()
    folder.download(to=tmp_path / "raw", path=tmp_path / "in", mirror="")
    raw = folder.read(tmp_path / "raw")
    owners = {image.file: image.columns["patient"] for image in raw.images}
    assert owners == {"a/1.dcm": "p1", "a/2.DCM": "p2", "b/1.dicom": "p1", "b/2.dcm": "", "b/3.png": ""}
    np.testing.assert_array_equal(raw.pixels(0, channels=1, max_pixels=99)[..., 0], grey + 7)


def test_a_table_may_say_itself_whose_image_it_is(tmp_path: Path) -> None:
    for name in ("1.dcm", "2.dcm"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(encoded(RAMP.astype(np.uint8), PatientID=name))
    (tmp_path / "in/labels.csv").write_text("file,label,patient\n1.dcm,a,x\n2.dcm,b,y\n")
    (tmp_path / "raw").mkdir()
    folder.download(to=tmp_path / "raw", path=tmp_path / "in", mirror="")
    with open(tmp_path / "raw/manifest.csv", newline="") as file:
        assert [row["patient"] for row in csv.DictReader(file)] == ["x", "y"]
