"""Reads DICOM images by pydicom, the extra `dicom`: the pixels of a file, and whose they are.

Grey values are rescaled (RescaleSlope and RescaleIntercept, or the modality's table) and then shown through the file's
first window (PS3.3 C.11.2: WindowCenter and WindowWidth, VOILUTFunction), or without one through its table of values
of interest. MONOCHROME1, in which large values are dark, is inverted. Palettes and YBR become RGB.
"""

import io
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from touchstone.data import levels
from touchstone.errors import BadImage, TouchstoneError

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIXES = (".dcm", ".dicom")
PREAMBLE_BYTES, MARK = 128, b"DICM"


def is_dicom(head: bytes) -> bool:
    """Return whether a file that begins so is in DICOM's format."""
    return head[PREAMBLE_BYTES : PREAMBLE_BYTES + len(MARK)] == MARK


def read_pixels(file: BinaryIO, check_size: Callable[[int, int], None], *, bits: int = 8) -> np.ndarray:
    """Return the first frame: uint8 (H, W, 1 or 3), or float64 (H, W) where nothing says which values are white.

    With 16 bits it is uint16 where the file has more than 8, or is shown through a window; without one, values that are
    neither signed nor rescaled are white at the largest number of the file's bits (BitsStored).

    check_size: called with width and height before anything is decoded. 8-bit grey that is neither rescaled nor has a
    window is returned as it is. Raises BadImage on a file without an image, TouchstoneError without pydicom, and what
    pydicom raises on damaged files.
    """
    pydicom = _pydicom()
    dataset = pydicom.dcmread(file)
    if "Rows" not in dataset or "Columns" not in dataset:
        raise BadImage("a DICOM file without an image")
    check_size(int(dataset.Columns), int(dataset.Rows))
    from pydicom.pixels import apply_color_lut, pixel_array

    values = pixel_array(dataset, index=0)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
    if values.ndim == 3:
        return values if values.dtype == np.uint8 else _colours(values, bits)
    return _shown(values, dataset, bits)


def patient(content: bytes) -> str:
    """Return the PatientID of a DICOM file, "" where it has none. Raises TouchstoneError without pydicom."""
    pydicom = _pydicom()
    try:
        dataset = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=["PatientID"])
        return str(dataset.get("PatientID") or "").strip()
    except Exception:  # a damaged file, on which pydicom raises almost anything; `prepare` reports it by its name
        return ""


def _colours(values: np.ndarray, bits: int) -> np.ndarray:
    """Return colours of more than 8 bits as pixels with `bits`."""
    return levels.of_depth(levels.clipped(values), bits)


def _shown(stored: np.ndarray, dataset: "Dataset", bits: int) -> np.ndarray:
    """Return grey values as they are to be seen, pixels (H, W, 1), or float64 (H, W) without a window."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    values = np.asarray(apply_modality_lut(stored, dataset))
    dark_is_large = dataset.PhotometricInterpretation == "MONOCHROME1"
    if "WindowCenter" in dataset and "WindowWidth" in dataset:
        unit = _window(
            values.astype(np.float64),
            centre=_first(dataset.WindowCenter),
            width=_first(dataset.WindowWidth),
            function=dataset.get("VOILUTFunction", "LINEAR"),
        )
    elif "VOILUTSequence" in dataset:
        entry_bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        unit = np.asarray(apply_voi(values, dataset)) / (2**entry_bits - 1)
    elif stored.dtype == np.uint8 and values is stored:
        return (levels.WHITE - values if dark_is_large else values)[:, :, None]
    elif bits > 8 and values is stored and stored.dtype.kind == "u":
        unit = stored / (2 ** int(dataset.BitsStored) - 1)
    else:
        return -values.astype(np.float64) if dark_is_large else values.astype(np.float64)
    unit = np.clip(unit, 0.0, 1.0)
    return levels.from_unit(1 - unit if dark_is_large else unit, bits)[:, :, None]


def _window(values: np.ndarray, *, centre: float, width: float, function: str) -> np.ndarray:
    """Return the values so that 0 is black and 1 is white, by the formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if width < 1 and not (function != "LINEAR" and width > 0):
        raise BadImage(f"WindowWidth is {width:g}, expected at least 1")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _first(value: Any) -> float:
    """Return the number, or the first of several."""
    return float(value[0] if isinstance(value, list) or hasattr(value, "__getitem__") else value)


def _pydicom() -> ModuleType:
    try:
        import pydicom
    except ImportError:
        raise TouchstoneError("DICOM images need pydicom; install it with pip install 'touchstone[dicom]'") from None
    return pydicom
