"""Of each real image the training image that is nearest to it in the features of the audit's encoder."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from touchstone.audit.features import Seen

BLOCK = 2**24  # distances at a time


@threadpool_limits.wrap(limits=1)
def nearest(images: Seen, train: Seen) -> pd.DataFrame:
    """id, nearest_id, distance: a row an image; the distance is Euclidean, in units of the features (see features.py).

    Of equally near training images the first counts. Without training images there are no rows.
    In one thread, as all of the audit: the last bits of distances do not hang on how many cores there are.
    """
    values, known = (seen.features.values.astype(np.float64) for seen in (images, train))
    squares = np.square(known).sum(1)
    rows, distances = [], []
    size = max(1, BLOCK // max(1, len(known)))
    for start in range(0, len(values) if len(known) else 0, size):
        part = values[start : start + size]
        apart = np.square(part).sum(1)[:, None] + squares - 2 * part @ known.T  # (B, N)
        rows.append(apart.argmin(1))
        distances.append(np.sqrt(np.maximum(apart.min(1), 0)))
    found = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    ids = images.ids if rows else []
    far = np.concatenate(distances) if rows else np.zeros(0)
    return pd.DataFrame({"id": ids, "nearest_id": [train.ids[row] for row in found], "distance": far.round(3)})
