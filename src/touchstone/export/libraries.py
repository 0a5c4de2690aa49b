"""The optional libraries of each format, imported when they are needed, with one line where they are missing."""

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

from touchstone import arithmetic
from touchstone.errors import TouchstoneError, one_line

EXTRAS = {
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "nncf": "openvino",
}
"""Library -> the extra of this project that installs it."""


def library(name: str) -> ModuleType:
    """Import an optional library.

    Raises TouchstoneError, naming the extra, where it is missing, and with its reason where it cannot be loaded, as on
    a platform for which it was not built.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # sends statistics of its use
    top, extra = name.split(".")[0], EXTRAS[name.split(".")[0]]
    try:
        with whole_processor():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in (top, name):
            raise
        raise TouchstoneError(f"{top} is not installed; run `pip install 'touchstone[{extra}]'`") from error
    except ImportError as error:
        raise TouchstoneError(
            f"{top} is installed but does not load on this platform ({one_line(error)}); use --runtime torch"
        ) from error


@contextlib.contextmanager
def whole_processor() -> Iterator[None]:
    """Lift the portable arithmetic (arithmetic.py) while a runtime chooses its kernels.

    Exported files are held to a tolerance, not to bits, and 8 bits are several times slower without AVX-512.
    """
    before = dict(os.environ)
    arithmetic.hold("native")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def is_installed(name: str) -> bool:
    """Whether an optional library is there; it is not imported."""
    return importlib.util.find_spec(name) is not None


def num_threads() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress and advice off the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def reason(error: BaseException) -> str:
    """Return in one line why a net cannot be exported: the innermost cause, which names the operation."""
    while error.__cause__ is not None:
        error = error.__cause__
    return one_line(Exception(str(error).split("\n\n")[0]))[:300]
