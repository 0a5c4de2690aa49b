"""Random images with a table."""

import numpy as np
import pandas as pd

from touchstone.data.imageset import ImageSet


def image_set(
    labels: list[str], *, side: int = 8, channels: int = 3, seed: int = 0, origin: str = "real", prefix: str = "id"
) -> ImageSet:
    """Return random images, one per label, with the ids id00, id01, ..."""
    rng = np.random.default_rng(seed)
    ids = [f"{prefix}{i:02d}" for i in range(len(labels))]
    table = pd.DataFrame({"id": ids, "label": labels, "source_id": ids, "origin": origin})
    return ImageSet(rng.integers(0, 256, (len(labels), side, side, channels), np.uint8), table)
