"""`touchstone export`: a run or ensemble as a file, checked on the test images, with a model card."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from touchstone.code_hash import digest
from touchstone.config.settings import Settings
from touchstone.data.as_prepared import stacked
from touchstone.data.folders import replaced
from touchstone.data.imageset import ImageSet, group_indices, load, valid_sizes
from touchstone.errors import TouchstoneError
from touchstone.evaluation.ensembles import replicate_mean
from touchstone.evaluation.measures import Measure, measure
from touchstone.export import checks
from touchstone.export.build import as_net, build, stored
from touchstone.export.description import ANY, Description, Images
from touchstone.export.formats import Calibration, Format
from touchstone.export.model import ExportedModel, open_model
from touchstone.seeds import generator
from touchstone.studies.predict_folder import TrainedModel, load_model

CALIBRATION = 256
"""Training images by which the ranges of activations are set, at most."""
CHECKS, CARD = "checks.json", "README.md"


@dataclass(frozen=True)
class Exported:
    """The files that `export` wrote, and what it measured."""

    file: Path
    description: Description
    labels: np.ndarray
    """Of the test images, int64 (N,) or float32 (N, K)."""
    checks: dict[str, Any]
    """The figures of checks.json."""
    probs: np.ndarray = field(repr=False)
    """The file's predictions of the test images, (1, N, K)."""


def export(
    name: str, to: Path, form: Format, *, settings: Settings, data: Path, images: Images = "any", int8: bool = False
) -> Exported:
    """Write the run or ensemble `name` into the new or empty folder `to`, check it, and return what was found.

    With int8 the file is quantised as well, and stands beside the one in full precision. Raises TouchstoneError on an
    unknown run, a missing extra, an operation that the format cannot hold, missing training images, and a file that
    decides otherwise than the pipeline.
    """
    if int8:
        form.check_int8()
    calibration = _calibration(settings, data) if int8 else None
    net = build(name, settings=settings, data=data, images=images)
    test = load(data / "prepared/test")
    stack, labels = stored(name, "test", settings=settings, data=data)
    ours = replicate_mean(stack)[None]
    judge = measure(labels, settings.compare, seed=settings.seed, groups=group_indices(test.table))
    file = form.file(to, int8=False)
    form.write(net, file)
    model = open_model(file)
    probs = checks.predictions_of(model, test)
    found: dict[str, Any] = {"float32": _checked(file, probs, ours, judge, model)}
    checks.check_agreement(found["float32"], name)
    if images == ANY:
        trained = load_model(name, params=settings, data=data)
        found["resizing"] = checks.resizing(model, trained, test)
    if calibration is not None:
        file = form.file(to, int8=True)
        form.quantise(form.file(to, int8=False), file, _batches(model, calibration))
        model = open_model(file)
        quantised = checks.predictions_of(model, test)
        found["int8"] = _checked(file, quantised, probs.astype(np.float64), judge, model)
        found["int8"]["calibration_images"] = len(calibration)
        probs = quantised
    return Exported(file, model.description, labels, found, probs)


def _checked(file: Path, probs: np.ndarray, other: np.ndarray, judge: Measure, model: ExportedModel) -> dict[str, Any]:
    found = checks.compared(probs, other, measure=judge, thresholds=model.thresholds)
    parts = [part for part in file.parent.iterdir() if part.stem == file.stem]
    return {"file": file.name, "bytes": sum(part.stat().st_size for part in parts)} | found


def _calibration(settings: Settings, data: Path) -> ImageSet:
    """Training images, drawn by the project's seed; test images take no part."""
    try:
        train = load(data / "prepared/train")
    except TouchstoneError as error:
        raise TouchstoneError(f"--int8: needs training images to calibrate on: {error}") from error
    if not len(train):
        raise TouchstoneError(f"--int8: {data}/prepared/train has no images to calibrate on; leave --int8 out")
    order = generator(settings.seed, "calibration images").permutation(len(train))
    return train.take(sorted(order[:CALIBRATION].tolist()))


def _batches(model: ExportedModel, images: ImageSet) -> Calibration:
    def batches() -> Iterator[list[np.ndarray]]:
        sizes, one = valid_sizes(images.table), model.description
        for row in range(len(images)):
            height, width = images.images.shape[1:3] if sizes is None else sizes[row]
            image = np.asarray(images.images[row, :height, :width])
            if one.images == ANY:
                yield [image[None]]
            else:
                yield [view.seen(*stacked([image], one.resize)).numpy() for view in one.seen]

    return batches


def cached(name: str, model: TrainedModel, form: Format, *, settings: Settings, data: Path, folder: Path) -> Path:
    """Return the file of a loaded run or ensemble for prepared images, exported into `folder` unless it is there.

    Its folder is named after hashes of all that the file is made from, see `_identity`, and of the code. The nets may
    be moved to the CPU. Raises TouchstoneError as `build` does, and on an operation that the format cannot hold.
    """
    net = as_net(name, model, settings=settings, data=data, images="prepared")
    own = folder / f"{_identity(model, net.description)[:24]}-{digest(Path(__file__))[:8]}"
    file = form.file(own, int8=False)
    if not file.is_file():
        own.parent.mkdir(parents=True, exist_ok=True)
        with replaced(own) as new:
            form.write(net, form.file(new, int8=False))
    return file


def _identity(model: TrainedModel, description: Description) -> str:
    """sha256 of the description, and of the members and the rule that combines them, which it does not all hold."""
    members = [[run, asdict(metadata)] for run, (metadata, _) in model.members.items()]
    combination = model.combination and asdict(model.combination)
    made_of = json.dumps([description.text(), members, combination], default=np.ndarray.tolist)
    return hashlib.sha256(made_of.encode()).hexdigest()
