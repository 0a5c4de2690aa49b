"""Attention maps: where in an image a net's attention lies."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image

from touchstone.data.batches import to_float
from touchstone.data.imageset import ImageSet
from touchstone.data.sheets import GAP, thumbnail
from touchstone.explain.overlays import FOR, SIDE, covered, grey
from touchstone.models.nets._attention import AttentiveResNet, attended
from touchstone.models.predict import batches
from touchstone.models.runs import Predictor, RunMetadata


def picture(
    predictor: Predictor, metadata: RunMetadata, chosen: ImageSet
) -> tuple[Image.Image, pd.DataFrame, dict[str, float]]:
    """The picture of a net's attention over some images, its table, and figures: patches, least and most, the extreme
    shares."""
    inputs = [
        pixels[:, -1] if metadata.crop_size else pixels for pixels in batches(chosen, metadata.view)
    ]  # of five, the last
    shares = np.concatenate([maps(predictor, pixels) for pixels in inputs])
    drawing = drawn(np.concatenate([pixels.numpy() for pixels in inputs]), shares)
    extremes = {"least": round(float(shares.min()), 6), "most": round(float(shares.max()), 6)}
    return drawing, table(shares, chosen.table["id"].tolist()), {"patches": shares[0].size, **extremes}


def maps(predictor: Predictor, pixels: torch.Tensor) -> np.ndarray:
    """uint8 (B, S, S, C) -> shares of attention, float32 (B, rows, columns): see `attended`. The net must have any."""
    assert isinstance(predictor.net, AttentiveResNet)
    predictor.eval()
    x = to_float(pixels.to(predictor.mean.device), predictor.mean, predictor.std)
    return attended(predictor.net, x).float().cpu().numpy()


def table(shares: np.ndarray, ids: Sequence[str]) -> pd.DataFrame:
    """id, row, column, share: one row per patch of shares (B, rows, columns)."""
    image, row, column = np.indices(shares.shape).reshape(3, -1)
    frame = pd.DataFrame({"id": np.array(ids)[image], "row": row, "column": column, "share": shares.ravel()})
    return frame.round({"share": 6})


def drawn(pixels: np.ndarray, shares: np.ndarray) -> Image.Image:
    """Draw images, uint8 (B, S, S, C), and beneath each the same with its attention, (B, rows, columns).

    The least share of all patches shown has no colour, the largest the strongest; patches fade into their neighbours.
    """
    low, high = float(shares.min()), float(shares.max())
    sheet = Image.new("RGB", (GAP + len(pixels) * (SIDE + GAP), GAP + 2 * (SIDE + GAP)), "white")
    for i, (image, share) in enumerate(zip(pixels, shares, strict=True)):
        tile = thumbnail(image, SIDE)
        over = covered(grey(tile), (share - low) / max(high - low, 1e-12), FOR)
        for j, shown in enumerate((tile, over)):
            sheet.paste(shown, (GAP + i * (SIDE + GAP), GAP + j * (SIDE + GAP)))
    return sheet
