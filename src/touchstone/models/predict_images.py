"""Predictions of a run's nets on prepared images that are in no split."""

import numpy as np

from touchstone.data.as_prepared import stacked
from touchstone.models.predict import blocks, logits, of_logits
from touchstone.models.runs import Predictor, RunMetadata


def predict_images(metadata: RunMetadata, nets: list[Predictor], images: list[np.ndarray]) -> np.ndarray:
    """Return the probabilities (seeds, B, K) that the nets of a run predict for B > 0 images, pixels (h, w, C) each."""
    batches = list(blocks(*stacked(images, metadata.resize), metadata.view))
    return np.stack([of_logits(logits(net, batches), multi_label=metadata.multi_label) for net in nets])
