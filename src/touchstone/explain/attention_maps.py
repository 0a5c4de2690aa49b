"""Attention maps: where in an image a net's attention lies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from touchstone.data.imageset import ImageSet
from touchstone.data.levels import limits
from touchstone.data.sheets import GAP, thumbnail
from touchstone.explain.overlays import FOR, SIDE, covered, grey
from touchstone.models.nets._attention import Attentive, attended
from touchstone.models.predict import batches
from touchstone.models.runs import Predictor


def save_picture(file: Path, predictor: Predictor, images: ImageSet) -> dict[str, float]:
    """Write what `picture` draws and its table to `file` with the suffixes .png and .csv; return its figures."""
    drawing, table, figures = picture(predictor, images)
    drawing.save(file.with_name(f"{file.name}.png"))
    table.to_csv(file.with_name(f"{file.name}.csv"), index=False)
    return figures


def picture(predictor: Predictor, chosen: ImageSet) -> tuple[Image.Image, pd.DataFrame, dict[str, float]]:
    """Draw a net's attention over some images.

    Returns the picture, its table, and figures: the number of patches, and the least and most share of one.
    """
    assert isinstance(predictor.net, Attentive)
    predictor.eval()
    inputs, shares = [], []
    for pixels in batches(chosen, predictor.view.plain):
        centre = pixels[:, -1] if predictor.view.crop_px else pixels  # the last of five crops
        inputs.append(centre.numpy())
        shares.append(attended(predictor.net, predictor.normalised(centre)).float().cpu().numpy())
    maps = np.concatenate(shares)  # (B, rows, columns)
    extremes = {"least": round(float(maps.min()), 6), "most": round(float(maps.max()), 6)}
    figures = {"patches": maps[0].size, **extremes}
    return drawn(np.concatenate(inputs), maps), table(maps, chosen.table["id"].tolist()), figures


def table(shares: np.ndarray, ids: Sequence[str]) -> pd.DataFrame:
    """Return the columns id, row, column, share: one row per patch of shares (B, rows, columns)."""
    image, row, column = np.indices(shares.shape).reshape(3, -1)
    frame = pd.DataFrame({"id": np.array(ids)[image], "row": row, "column": column, "share": shares.ravel()})
    return frame.round({"share": 6})


def drawn(pixels: np.ndarray, shares: np.ndarray) -> Image.Image:
    """Draw images, pixels (B, S, S, C), and beneath each a copy with its attention, (B, rows, columns).

    The least share of all patches has no colour, the largest the strongest; patches fade into their neighbours.
    """
    low, high = float(shares.min()), float(shares.max())
    sheet = Image.new("RGB", (GAP + len(pixels) * (SIDE + GAP), GAP + 2 * (SIDE + GAP)), "white")
    between = limits(list(pixels))
    for i, (image, share) in enumerate(zip(pixels, shares, strict=True)):
        tile = thumbnail(image, SIDE, between=between)
        over = covered(grey(tile), (share - low) / max(high - low, 1e-12), FOR)
        for j, shown in enumerate((tile, over)):
            sheet.paste(shown, (GAP + i * (SIDE + GAP), GAP + j * (SIDE + GAP)))
    return sheet
