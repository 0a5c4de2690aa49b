"""The training image nearest to each real image, by distances in the features of the audit's encoder."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from touchstone.audit.features import Features

BLOCK = 2**24  # distances at a time


@threadpool_limits.wrap(limits=1)
def nearest(images: Features, train: Features) -> pd.DataFrame:
    """id, nearest_id, distance: one row per image; the distance is Euclidean, in units of the features (features.py).

    Of equally near training images the first counts. Without training images there are no rows.
    Like the rest of the audit this runs in one thread: the last bits of a distance must not depend on the cores.
    """
    values, train_values = (features.values.astype(np.float64) for features in (images, train))
    train_squares = np.square(train_values).sum(1)
    rows, distances = [], []
    size = max(1, BLOCK // max(1, len(train_values)))
    for start in range(0, len(values) if len(train_values) else 0, size):
        block = values[start : start + size]
        squares = np.square(block).sum(1)[:, None] + train_squares - 2 * block @ train_values.T  # (B, N)
        rows.append(squares.argmin(1))
        distances.append(np.sqrt(np.maximum(squares.min(1), 0)))
    nearest_rows = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    return pd.DataFrame(
        {
            "id": images.ids if rows else [],
            "nearest_id": [train.ids[row] for row in nearest_rows],
            "distance": (np.concatenate(distances) if rows else np.zeros(0)).round(3),
        }
    )
