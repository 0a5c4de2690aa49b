"""Revisions with invented predictions, for tests that need no repository."""

import io
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from touchstone.config.schema.evaluation import Compare
from touchstone.studies.revisions import Revision

SETTINGS = Compare(num_resamples=500)
CLASSES = ["a", "b", "c"]
N = 300
LABELS = np.arange(N) % 3


def probs(rate: float, seed: int, num_seeds: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    decided = np.where(rng.random((num_seeds, N)) < rate, LABELS, (LABELS + 1) % 3)
    return np.where(np.eye(3)[decided] > 0, 0.8, 0.1).astype(np.float32)


SAME, WEAK, STRONG = probs(0.7, 0), probs(0.6, 1), probs(0.9, 2)


def revision(name: str = "old", **runs: np.ndarray) -> Revision:
    table = pd.DataFrame({"id": [f"{i:03}" for i in range(N)], "label": [CLASSES[k] for k in LABELS]})
    return Revision(name, {"classes": CLASSES}, table, [0, 1, 2], runs, [])


class Files:
    """Files of a revision in memory, in the place of `Stored`."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        """contents: path below data/prepared -> content."""
        self._contents = contents

    def read(self, path: str) -> bytes | None:
        return self._contents.get(path.removeprefix("data/prepared/"))

    def open(self, path: str) -> BinaryIO | None:
        content = self.read(path)
        return None if content is None else io.BytesIO(content)


def images(*, shade: int = 0) -> np.ndarray:
    """N test images of 2 x 3 px, each of one grey that its row decides."""
    return np.broadcast_to(((np.arange(N) + shade) % 256).astype(np.uint8)[:, None, None, None], (N, 2, 3, 1))


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def names(stem: str = "test/") -> bytes:
    """files.csv with the names of the test images, after those of another split."""
    table: dict[str, Any] = {"split": ["train", *["test"] * N], "row": [0, *range(N)]}
    table["file"] = ["train/0.png", *(f"{stem}{i:03}.png" for i in range(N))]
    return pd.DataFrame(table).to_csv(index=False).encode()
