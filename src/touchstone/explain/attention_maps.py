"""Where a net's attention lies, drawn over the image."""

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
from touchstone.models.runs import Card, Predictor


def picture(predictor: Predictor, card: Card, chosen: ImageSet) -> tuple[Image.Image, pd.DataFrame, dict[str, float]]:
    """Of one net and some images: the picture, its table, and how many patches there are with their extreme shares."""
    seen = [pixels[:, -1] if card.crop_size else pixels for pixels in batches(chosen, card.view)]  # of five, the centre
    found = np.concatenate([maps(predictor, pixels) for pixels in seen])
    drawing = drawn(np.concatenate([pixels.numpy() for pixels in seen]), found)
    extremes = {"least": round(float(found.min()), 6), "most": round(float(found.max()), 6)}
    return drawing, table(found, chosen.table["id"].tolist()), {"patches": found[0].size, **extremes}


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
        over = covered(grey(tile), (share - low) / max(high - low, 1e-12), FOR)
        for j, shown in enumerate((tile, over)):
            sheet.paste(shown, (GAP + i * (SIDE + GAP), GAP + j * (SIDE + GAP)))
    return sheet
