"""Exported files as models that predict folders of images, opened by the runtime that they are made for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from touchstone.data.as_prepared import stacked
from touchstone.errors import TouchstoneError
from touchstone.export.description import ANY, Description
from touchstone.export.formats import FORMATS, Session, format_of_file
from touchstone.export.libraries import is_installed

BATCH = 16
"""Images predicted together: larger batches of large images leave the processor's caches and are slower."""
RUNTIMES = {"openvino": ("openvino",), "onnx": ("onnxruntime", "onnx", "onnxscript"), "torch": ("torch",)}
"""The values of --runtime, the fastest first, and the libraries that write and run the files of each."""


@dataclass(frozen=True)
class ExportedModel:
    """A file of `touchstone export`, open; it predicts prepared images as a trained model does."""

    description: Description
    session: Session

    @property
    def metadata(self) -> Description:
        return self.description

    @property
    def thresholds(self) -> np.ndarray | None:
        """float32 (K,), as in the file, with several labels an image."""
        given = self.description.thresholds
        return None if given is None else np.array(given, np.float32)

    def predict(self, images: list[np.ndarray]) -> np.ndarray:
        """Images, each uint8 (h, w, C) -> probabilities float32 (1, B, K), the mean over the seeds.

        The images are prepared ones, or of any size where the file resizes them itself.
        """
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        if self.description.images == ANY:
            same = len({image.shape for image in images}) == 1
            inputs = [[np.stack(batch)] for batch in (batches if same else [[image] for image in images])]
        else:
            inputs = [self._prepared(batch) for batch in batches]
        return np.concatenate([self.session(one)[0] for one in inputs])[None]

    def _prepared(self, images: list[np.ndarray]) -> list[np.ndarray]:
        pixels, sizes = stacked(images, self.description.resize)
        return [view.seen(pixels, sizes).numpy() for view in self.description.seen]


def open_model(file: Path, *, runtime: str = "", threads: int = 0) -> ExportedModel:
    """Open a file by the runtime of its format.

    Raises TouchstoneError where `runtime` names another one, the file cannot be read, or an extra is not installed.
    """
    form = format_of_file(file)
    if runtime and runtime != form.runtime:
        own = next((one.name for one in FORMATS if one.runtime == runtime), "")
        raise TouchstoneError(
            f"--runtime {runtime}: {file} is {form.name}, which --runtime {form.runtime} runs; leave --runtime out, or "
            f"export with --to {own}"
        )
    return ExportedModel(*form.open(file, threads=threads))


def fastest_installed() -> str:
    """Return the value of --runtime for `auto`: the fastest one whose files can be written and run here."""
    return next(name for name, needed in RUNTIMES.items() if all(is_installed(library) for library in needed))
