"""The formats of exported files: how each is written, quantised and run."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from touchstone.errors import TouchstoneError

if TYPE_CHECKING:
    from touchstone.export.description import Description
    from touchstone.export.graph import ExportedNet

Session = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Runs a file: its inputs, uint8 (N, ...) each -> its outputs (N, K)."""
Calibration = Callable[[], Iterator[list[np.ndarray]]]
"""Makes the batches of training images by which activations are quantised, in the form of the inputs."""


@dataclass(frozen=True)
class Format:
    """A format. Its module has `write`, `open_file` and, where it is quantised, `quantise`."""

    name: str
    suffix: str
    runtime: str
    """The value of `touchstone predict --runtime`."""
    module: str
    quantised: bool = True
    beside: tuple[str, ...] = ()
    """The suffixes of files that one in this format needs beside it."""

    def load(self) -> ModuleType:
        return importlib.import_module(f"touchstone.export.{self.module}")

    def file(self, folder: Path, *, int8: bool) -> Path:
        return folder / f"model{'.int8' if int8 else ''}{self.suffix}"

    def names(self) -> set[str]:
        """Return the names of all files that an export in this format may write."""
        parts = (self.suffix, *self.beside)
        return {f"model{precision}{suffix}" for precision in ("", ".int8") for suffix in parts}

    def write(self, net: "ExportedNet", file: Path) -> None:
        """Write the net, in evaluation mode on the CPU. Raises TouchstoneError on an operation it cannot hold."""
        self.load().write(net, file)

    def check_int8(self) -> None:
        """Raise TouchstoneError where this format has no form in 8 bits."""
        if not self.quantised:
            able = " or ".join(one.name for one in FORMATS if one.quantised)
            raise TouchstoneError(f"--int8: got --to {self.name}, which has no 8-bit form here; use --to {able}")

    def quantise(self, file: Path, to: Path, batches: Calibration) -> None:
        """Write `file` with 8-bit convolutions and matrix products to `to`. Raises TouchstoneError without any."""
        self.load().quantise(file, to, batches)

    def open(self, file: Path, *, threads: int = 0) -> tuple["Description", Session]:
        """Open a file to predict with `threads` threads, by default as many as cores.

        Raises TouchstoneError where it cannot be read, or says nothing of its labels.
        """
        return self.load().open_file(file, threads=threads)


FORMATS = (
    Format("onnx", ".onnx", "onnx", "onnx_file"),
    Format("openvino", ".xml", "openvino", "openvino_file", beside=(".bin",)),
    Format("torchscript", ".pt", "torch", "torchscript_file", quantised=False),
)


def format_of(name: str) -> Format:
    """Return the format of that name."""
    return next(one for one in FORMATS if one.name == name)


def format_of_file(file: Path) -> Format:
    """Return the format that a file's suffix names. Raises TouchstoneError where none does."""
    for one in FORMATS:
        if file.suffix == one.suffix:
            return one
    suffixes = ", ".join(one.suffix for one in FORMATS)
    raise TouchstoneError(
        f"{file}: got {file.suffix or 'no suffix'}, expected a file of `touchstone export`: {suffixes}"
    )


def check_file(file: Path) -> None:
    """Raise TouchstoneError where there is no such file."""
    if not file.is_file():
        raise TouchstoneError(f"{file}: no such file; `touchstone export RUN --to ...` writes one")
