"""An exported file against the predictions of the pipeline, on its test images."""

from typing import Any

import numpy as np

from touchstone.data.imageset import ImageSet, valid_sizes
from touchstone.data.ops.resize import resize, scale
from touchstone.errors import TouchstoneError
from touchstone.evaluation.compare import compare_paired
from touchstone.evaluation.ensembles import replicate_mean
from touchstone.evaluation.measures import Measure
from touchstone.export.model import ExportedModel
from touchstone.studies.predict_folder import TrainedModel

LEAST_AGREEMENT = 0.99  # of a file in full precision; below it, the file is not what was trained
BLOCK = 256
RESIZED, SCALES = 64, ((1.6, 1.3), (0.7, 0.9), (2.0, 2.0))  # images, and their heights and widths, to check resizing


def predictions_of(model: ExportedModel, images: ImageSet) -> np.ndarray:
    """The file's probabilities (1, N, K) of prepared images."""
    sizes = valid_sizes(images.table)
    out = []
    for start in range(0, len(images), BLOCK):
        rows = range(start, min(start + BLOCK, len(images)))
        out.append(model.predict([_image(images, sizes, row) for row in rows]))
    return np.concatenate(out, 1)


def _image(images: ImageSet, sizes: np.ndarray | None, row: int) -> np.ndarray:
    height, width = images.images.shape[1:3] if sizes is None else sizes[row]
    return np.asarray(images.images[row, :height, :width])


def compared(file: np.ndarray, ours: np.ndarray, *, measure: Measure, thresholds: np.ndarray | None) -> dict[str, Any]:
    """Compare a file's predictions with others, (1, N, K) each: of the pipeline, or of the file before int8.

    change: of the primary score, with its interval over test images.
    """
    key = measure.key
    change = compare_paired(measure.compared(file, ours), confidence=measure.confidence)
    own = compare_paired(measure.alone(file), confidence=measure.confidence)
    return {
        "images": file.shape[1],
        "max_difference": float(np.abs(file.astype(np.float64) - ours).max()),
        "mean_difference": float(np.abs(file.astype(np.float64) - ours).mean()),
        "agreement": float((_decisions(file, thresholds) == _decisions(ours, thresholds)).mean()),
        key: own.value,
        f"{key}_low": max(0.0, own.low),
        f"{key}_high": min(1.0, own.high),
        f"{key}_before": float(measure.value(ours, measure.labels)),
        "change": change.value,
        "change_low": change.low,
        "change_high": change.high,
        "confidence": measure.confidence,
    }


def _decisions(probs: np.ndarray, thresholds: np.ndarray | None) -> np.ndarray:
    return probs[0].argmax(1) if thresholds is None else probs[0] >= thresholds


def check_agreement(found: dict[str, Any], name: str) -> None:
    """Raise TouchstoneError where a file in full precision decides otherwise than the pipeline."""
    if found["agreement"] < LEAST_AGREEMENT:
        raise TouchstoneError(
            f"{name}: the exported file agrees with our predictions on {found['agreement']:.1%} of {found['images']} "
            f"test images, expected at least {LEAST_AGREEMENT:.0%}; run `dvc repro` if the predictions are old, or use "
            "another --to"
        )


def resizing(model: ExportedModel, trained: TrainedModel, images: ImageSet) -> dict[str, Any]:
    """Compare the file's own resizing with ours, on test images that are scaled to other sizes first."""
    sizes, one = valid_sizes(images.table), model.description
    rows = np.unique(np.linspace(0, len(images) - 1, RESIZED).astype(int))
    scaled = []
    for number, row in enumerate(rows):
        image, (high, wide) = _image(images, sizes, int(row)), SCALES[number % len(SCALES)]
        scaled.append(scale(image, round(image.shape[0] * high), round(image.shape[1] * wide)))
    ours = trained.predict([resize(image, size_px=one.image_size, mode=one.resize) for image in scaled])
    ours = replicate_mean(ours)[None]
    file = model.predict(scaled)
    return {
        "images": len(rows),
        "max_difference": float(np.abs(file - ours).max()),
        "agreement": float((_decisions(file, model.thresholds) == _decisions(ours, model.thresholds)).mean()),
    }
