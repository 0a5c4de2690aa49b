"""Features of images: the activations of a classifier just before its last layer or, without one, thumbnails."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from touchstone.audit.quality import LabelledFeatures
from touchstone.data.batches import View, sent
from touchstone.data.imageset import ImageSet, group_indices, valid_sizes
from touchstone.data.labels import encode
from touchstone.data.lazy_images import LazyImages, as_array, release
from touchstone.data.thumbnails import standardised, thumbnails
from touchstone.errors import TouchstoneError
from touchstone.models.predict import batches
from touchstone.models.runs import Predictor

BLOCK = 2**24  # distances at a time
ROWS = 2048  # thumbnails at a time


@dataclass(frozen=True)
class Features(LabelledFeatures):
    """Images with their features. Where images may have several labels, all are in one class: labels are 0."""

    images: np.ndarray
    """Pixels (N, S, S, C), the central squares."""
    ids: list[str]
    agreement: float
    """Share of the labels that the classifier predicts correctly; NaN without images or without a classifier."""


class FeatureExtractor:
    """A classifier whose last hidden activations are features. meta: prepared/meta.json."""

    def __init__(self, encoder: Predictor, *, view: View, meta: dict[str, Any]) -> None:
        self.encoder, self.view, self.meta = encoder, view, meta
        self.unit = 1.0  # features are divided by it, so that distances do not depend on the scale of activations

    def calibrate(self, images: ImageSet) -> Features:
        """Extract the features of images, and take their root mean square as the unit from now on."""
        features = self.extract(images)
        self.unit *= float(np.sqrt(np.square(features.values, dtype=np.float64).mean())) or 1.0
        return replace(features, values=features.values / np.float32(self.unit))

    def extract(self, images: ImageSet) -> Features:
        """Run the encoder over images. Raises TouchstoneError where its net ends in no linear layer."""
        labels = encode(images.table, self.meta)
        values, logits = _run(images, self.encoder, self.view)
        agrees = logits.argmax(1) == labels if labels.ndim == 1 else ((logits > 0) == (labels == 1))[~np.isnan(labels)]
        return Features(
            values=values / np.float32(self.unit),
            labels=labels if labels.ndim == 1 else np.zeros(len(labels), np.int64),
            groups=group_indices(images.table),
            images=central_squares(images, self.view),
            ids=images.table["id"].tolist(),
            agreement=float(agrees.mean()) if len(labels) else float("nan"),
        )


def by_thumbnails(images: ImageSet, *, size_px: int) -> Features:
    """Take 8x8 thumbnails for features, which need no classifier. size_px: side of the central squares."""
    shown = central_squares(images, View(size_px=size_px, input_px=size_px))
    small = thumbnails(shown)
    values = np.empty(small.shape, np.float32)
    for start in range(0, len(small), ROWS):
        values[start : start + ROWS] = standardised(small[start : start + ROWS])
    return Features(
        values=values,
        labels=np.zeros(len(images), np.int64),
        groups=group_indices(images.table),
        images=shown,
        ids=images.table["id"].tolist(),
        agreement=float("nan"),
    )


class Squares(LazyImages):
    """The central squares of images of several sizes, cut when they are read: an array (N, S, S, C)."""

    def __init__(self, images: np.ndarray, sizes: np.ndarray, view: View) -> None:
        super().__init__(np.full_like(sizes, view.size_px), images.shape[3], images.dtype)
        self.images, self.valid, self.view = images, sizes, view

    def release(self) -> None:
        release(self.images)

    def _image(self, row: int) -> np.ndarray:
        return self.view.squares(self.images[row][None], self.valid[row][None])[0]

    def _several(self, rows: Sequence[int]) -> Iterator[np.ndarray]:
        yield from self.view.squares(self.images[np.array(rows, np.int64)], self.valid[list(rows)])


def central_squares(images: ImageSet, view: View) -> np.ndarray:
    """Return the central squares of images, pixels (N, S, S, C): an array, or `Squares` where sizes differ."""
    sizes = valid_sizes(images.table)
    return images.images if sizes is None else as_array(Squares(images.images, sizes, view))


def _run(images: ImageSet, encoder: Predictor, view: View) -> tuple[np.ndarray, np.ndarray]:
    """The input of the net's last linear layer, float32 (N, D), and the logits, float32 (N, K)."""
    last = next((layer for layer in reversed(list(encoder.net.modules())) if isinstance(layer, nn.Linear)), None)
    if last is None:
        raise TouchstoneError("audit.encoder: the net has no linear layer whose input could serve; choose another net")
    activations: list[torch.Tensor] = []

    def keep(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        activations.append(inputs[0].float().to("cpu", copy=True))  # which may be a view of far more

    hook = last.register_forward_pre_hook(keep)
    device = next(encoder.parameters()).device
    encoder.eval()
    with torch.no_grad():
        logits = [encoder(sent(pixels, device)) for pixels in batches(images, view)]
    hook.remove()
    if not activations:
        return np.zeros((0, last.in_features), np.float32), np.zeros((0, last.out_features), np.float32)
    return torch.cat(activations).numpy(), torch.cat(logits).cpu().numpy()


@threadpool_limits.wrap(limits=1)
def nearest(images: Features, train: Features) -> pd.DataFrame:
    """id, nearest_id and Euclidean distance, one row per image; of equally near training images the first counts.

    Without training images there are no rows. This runs in one thread, as the last bits of a distance must not depend
    on the number of cores.
    """
    values, train_values = (features.values.astype(np.float64) for features in (images, train))
    train_squares = np.square(train_values).sum(1)
    rows, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    size = max(1, BLOCK // max(1, len(train_values)))
    for start in range(0, len(values) if len(train_values) else 0, size):
        block = values[start : start + size]
        squares = np.square(block).sum(1)[:, None] + train_squares - 2 * block @ train_values.T  # (B, N)
        rows.append(squares.argmin(1))
        distances.append(np.sqrt(np.maximum(squares.min(1), 0)))
    nearest_ids = [train.ids[row] for row in np.concatenate(rows)]
    ids = images.ids[: len(nearest_ids)]
    return pd.DataFrame({"id": ids, "nearest_id": nearest_ids, "distance": np.concatenate(distances).round(3)})
