"""In-domain features: what a classifier of this data set sees in an image before its last layer decides.

Their unit is their root mean square over the training images: distances do not depend on how large a net's numbers
happen to be.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from touchstone.audit.quality import Features
from touchstone.data.batches import View
from touchstone.data.imageset import ImageSet, valid_sizes
from touchstone.data.labels import encode
from touchstone.errors import TouchstoneError
from touchstone.models.predict import batches
from touchstone.models.runs import Predictor


@dataclass(frozen=True)
class Seen:
    """Images as the audit sees them.

    images: uint8 (N, S, S, C), squares. ids: N names. features: (N, D) with labels; of several labels an image they are
    all in one group. agreement: the share of labels that the classifier gives as the table does; NaN without images.
    """

    images: np.ndarray
    ids: list[str]
    features: Features
    agreement: float


class Eye:
    """An encoder and how it is fed. meta: what preparation wrote. `unit` is what features are divided by."""

    def __init__(self, encoder: Predictor, *, view: View, meta: dict[str, Any]) -> None:
        self.encoder, self.view, self.meta, self.unit = encoder, view, meta, 1.0

    def focus(self, images: ImageSet) -> Seen:
        """See images first, and take the root mean square of their features as the unit from now on."""
        seen = self.see(images)
        values = seen.features.values
        self.unit *= float(np.sqrt(np.square(values, dtype=np.float64).mean())) or 1.0
        return replace(seen, features=Features(values / np.float32(self.unit), seen.features.labels))

    def see(self, images: ImageSet) -> Seen:
        """Run the encoder over images. Raises TouchstoneError where its net ends in no linear layer."""
        labels = encode(images.table, self.meta)
        values, logits = _run(images, self.encoder, self.view)
        agreed = logits.argmax(1) == labels if labels.ndim == 1 else ((logits > 0) == (labels == 1))[~np.isnan(labels)]
        groups = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
        return Seen(
            images=self.view.squares(images.images, valid_sizes(images.table)),
            ids=images.table["id"].tolist(),
            features=Features(values / np.float32(self.unit), groups),
            agreement=float(agreed.mean()) if len(labels) else float("nan"),
        )


def _run(images: ImageSet, encoder: Predictor, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 (N, D): the input of the net's last linear layer; and its logits float32 (N, K)."""
    last = next((layer for layer in reversed(list(encoder.net.modules())) if isinstance(layer, nn.Linear)), None)
    if last is None:
        raise TouchstoneError("audit.encoder: the net has no linear layer whose input could serve; choose another net")
    found: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].float().cpu()))
    device = next(encoder.parameters()).device
    encoder.eval()
    with torch.no_grad():
        logits = [encoder(pixels.to(device)).cpu() for pixels in batches(images, view)]
    hook.remove()
    if not found:
        return np.zeros((0, last.in_features), np.float32), np.zeros((0, last.out_features), np.float32)
    return torch.cat(found).numpy(), torch.cat(logits).numpy()
