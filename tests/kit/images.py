"""Random images with a table, and image files."""

import hashlib
import io

import numpy as np
import pandas as pd
from PIL import Image

from touchstone.data.imageset import ImageSet


def image_set(
    labels: list[str], *, side: int = 8, channels: int = 3, seed: int = 0, origin: str = "real", prefix: str = "id"
) -> ImageSet:
    """Return random images, one per label, with the ids id00, id01, ..."""
    rng = np.random.default_rng(seed)
    ids = [f"{prefix}{i:02d}" for i in range(len(labels))]
    table = pd.DataFrame({"id": ids, "label": labels, "source_id": ids, "origin": origin})
    return ImageSet(rng.integers(0, 256, (len(labels), side, side, channels), np.uint8), table)


def picture(name: str, format: str = "PNG") -> bytes:
    """Return an image file of 4x3 pixels whose grey depends on the name."""
    file = io.BytesIO()
    Image.new("L", (4, 3), hashlib.sha256(name.encode()).digest()[0]).save(file, format)
    return file.getvalue()
