"""Where a net's attention lies, drawn over the image."""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd
import torch
from PIL import Image

from touchstone.attention import AttentiveResNet, attended
from touchstone.figures import GAP, thumbnail
from touchstone.loaders import to_float
from touchstone.runs import Predictor

SIDE = 128  # px of a tile
COLOUR, OPACITY = (255, 110, 0), 0.8  # RGB, and how much of it covers the most attended patch


def maps(predictor: Predictor, pixels: torch.Tensor) -> np.ndarray:
    """uint8 (B, S, S, C) -> float32 (B, rows, columns): see `attention.attended`. The net must have such a block."""
    assert isinstance(predictor.net, AttentiveResNet)
    predictor.eval()
    x = to_float(pixels.to(predictor.mean.device), predictor.mean, predictor.std)
    return attended(predictor.net, x).float().cpu().numpy()


def table(found: np.ndarray, ids: Sequence[str]) -> pd.DataFrame:
    """id, row, column, share: of (B, rows, columns), a patch a line."""
    image, row, column = np.indices(found.shape).reshape(3, -1)
    frame = pd.DataFrame({"id": np.array(ids)[image], "row": row, "column": column, "share": found.ravel()})
    return frame.round({"share": 6})


def drawn(pixels: np.ndarray, found: np.ndarray) -> Image.Image:
    """Images above, under them the same with their attention: uint8 (B, S, S, C), (B, rows, columns).

    The colour covers nothing at the least share of all patches shown, most at the largest; in between a patch fades
    into the next.
    """
    low, high = float(found.min()), float(found.max())
    sheet = Image.new("RGB", (GAP + len(pixels) * (SIDE + GAP), GAP + 2 * (SIDE + GAP)), "white")
    for i, (image, share) in enumerate(zip(pixels, found, strict=True)):
        tile = thumbnail(image, SIDE)
        level = np.round(255 * OPACITY * (share - low) / max(high - low, 1e-12)).astype(np.uint8)
        mask = Image.fromarray(cv2.resize(level, tile.size, interpolation=cv2.INTER_LINEAR))
        covered = Image.composite(Image.new("RGB", tile.size, COLOUR), tile.convert("L").convert("RGB"), mask)
        for j, shown in enumerate((tile, covered)):
            sheet.paste(shown, (GAP + i * (SIDE + GAP), GAP + j * (SIDE + GAP)))
    return sheet
