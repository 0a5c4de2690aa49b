"""The splits. An image's split is a pure function of its id, so adding images never moves old ones.

Classes are balanced in expectation.
"""

import hashlib
from collections.abc import Sequence

LABELLED = ("train", "val", "test")
UNLABELLED = "unlabelled"
SPLITS = (*LABELLED, UNLABELLED)


def uniform(image_id: str, purpose: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the arguments alone."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(
    image_id: str, official: str, *, has_test: bool, test_fraction: float, val_fraction: float, fold: str, seed: int
) -> str:
    """Return the split of an image, one of SPLITS.

    official: the source's own split, or "". It is kept, except that validation images are drawn from the training
    images, by `val_fraction` or as fold "k of n". Without `has_test`, test images are drawn first.
    """
    if official in ("val", "test", UNLABELLED):
        return official
    if not has_test and uniform(image_id, "test", seed) < test_fraction:
        return "test"
    if fold:
        k, n = (int(part) for part in fold.split(" of "))
        return "val" if int(uniform(image_id, "fold", seed) * n) == k - 1 else "train"
    return "val" if uniform(image_id, "val", seed) < val_fraction else "train"


def cap(ids: Sequence[str], labels: Sequence[str], size: int) -> list[int]:
    """Return the rows of at most `size` images: the lowest ids of each class, the classes in turn; 0 keeps all."""
    rank: dict[str, int] = {}
    order = []
    for row in sorted(range(len(ids)), key=lambda row: ids[row]):
        rank[labels[row]] = rank.get(labels[row], -1) + 1
        order.append((rank[labels[row]], labels[row], row))
    return sorted(row for _, _, row in sorted(order)[: size or None])
