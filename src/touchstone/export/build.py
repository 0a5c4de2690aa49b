"""A trained run or ensemble -> the net that is exported, with its description."""

import json
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import numpy as np

from touchstone.config.settings import Settings
from touchstone.data.imageset import read_table
from touchstone.data.labels import encode
from touchstone.errors import TouchstoneError
from touchstone.evaluation.calibration import temperatures
from touchstone.evaluation.probs import load_probs
from touchstone.export.description import ANY, Description, Images
from touchstone.export.graph import Combine, ExportedNet
from touchstone.models.runs import RunMetadata
from touchstone.studies.predict_folder import TrainedModel, load_model

LIBRARIES = ("touchstone", "torch", "onnx", "onnxruntime", "openvino", "nncf")


def build(name: str, *, settings: Settings, data: Path, images: Images) -> ExportedNet:
    """Load the run or ensemble `name` and return it as one module on the CPU, in evaluation mode.

    Raises TouchstoneError where it is unknown or has not been trained and evaluated.
    """
    model = load_model(name, params=settings, data=data, option="RUN")
    return as_net(name, model, settings=settings, data=data, images=images)


def as_net(name: str, model: TrainedModel, *, settings: Settings, data: Path, images: Images) -> ExportedNet:
    """Return a loaded run or ensemble as `build` does. Raises TouchstoneError where no file can hold it."""
    description = _describe(name, model, settings=settings, data=data, images=images)
    nets = {run: list(predictors) for run, (_, predictors) in model.members.items()}
    net = ExportedNet(description, nets, _combination(model))
    return net.cpu().eval().requires_grad_(False)


def probabilities_folder(name: str, settings: Settings, data: Path) -> Path:
    """Return the folder of all runs' or all ensembles' predictions, whichever `name` is."""
    return data / ("ensembles" if name in settings.ensembles else "probs")


def stored(name: str, split: str, *, settings: Settings, data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the stored predictions of a run or ensemble on a split, (seeds, N, K), and the labels of its images.

    Raises TouchstoneError where either is missing, or they differ in the number of images or classes.
    """
    folder = probabilities_folder(name, settings, data)
    probs = load_probs(folder, [name], split)[name]
    table = read_table(data / "prepared" / split)  # raises where the prepared images are missing
    meta = json.loads((data / "prepared/meta.json").read_text(encoding="utf-8"))
    there, here = probs.shape[1:], (len(table), len(meta["classes"]))
    if there != here:
        raise TouchstoneError(
            f"{folder / name / split}.npy: has predictions of {there[0]} images and {there[1]} classes, and "
            f"{data}/prepared has {here[0]} and {here[1]}; run `dvc repro`"
        )
    return probs, encode(table, meta)


def _describe(name: str, model: TrainedModel, *, settings: Settings, data: Path, images: Images) -> Description:
    run = model.metadata
    views = {run.view: None for run, _ in model.members.values()}
    for metadata_of, _ in model.members.values():
        _check(name, metadata_of, images)
    fitted = temperatures(*stored(name, "val", settings=settings, data=data))
    return Description(
        name=name,
        classes=run.classes,
        multi_label=run.multi_label,
        channels=run.channels,
        image_size=run.image_size,
        resize=run.resize,
        max_pixels=run.max_pixels,
        images=images,
        views=[asdict(view) for view in views],
        temperatures=[round(float(one), 6) for one in fitted],
        thresholds=None if model.thresholds is None else [float(one) for one in model.thresholds],
        rule="" if model.combination is None else model.combination.rule,
        weights={member: dict(run.weights) for member, (run, _) in model.members.items()},
        versions=_versions(),
    )


def _check(name: str, run: RunMetadata, images: Images) -> None:
    """Raise TouchstoneError where a run sees images in a way that no file can hold."""
    if run.bits != 8:
        raise TouchstoneError(f"RUN {name}: its images have {run.bits} bits, and exported files take 8; use torch")
    if run.view.cuts_windows:
        raise TouchstoneError(
            f"RUN {name}: its predictions average several crops (test_crops, test_scales), which exported files do not "
            "do; use torch, or export a run without them"
        )
    if images == ANY and (run.crop_share, run.interpolation) != (1.0, "area"):
        raise TouchstoneError(
            f"RUN {name}: its net sees {run.crop_share:g} of the square, scaled by the filter {run.interpolation}, "
            "which the resizing inside a file has not; give --images prepared"
        )


def _versions() -> dict[str, str]:
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def _combination(model: TrainedModel) -> Combine | None:
    one, members = model.combination, list(model.members)
    if one is None:
        return None
    votes = None if one.thresholds is None else [one.thresholds[member].tolist() for member in members]
    shares = None if one.weights is None else [one.weights[member] for member in members]
    return Combine(one.rule, preferred=members.index(one.prefer), thresholds=votes, weights=shares)
