"""Which image lands in which split.

A split is a pure function of the image's id, so that adding images never moves old ones between splits; classes
are balanced in expectation.
"""

import hashlib
from collections.abc import Sequence


def uniform(image_id: str, purpose: str, seed: int) -> float:
    """A number in [0, 1) that depends on nothing but these three."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(
    image_id: str, official: str, *, has_test: bool, test_fraction: float, val_fraction: float, fold: str, seed: int
) -> str:
    """The split of one image: "train", "val", "test" or "unlabelled".

    `official` is the source's own split or "". Official splits are kept; where the source has no test split
    (`has_test` false) test images are drawn by id; validation images are drawn from what is left, by `val_fraction`
    or as fold k of n.
    """
    if official in ("val", "test", "unlabelled"):
        return official
    if not has_test and uniform(image_id, "test", seed) < test_fraction:
        return "test"
    if fold:
        k, n = (int(part) for part in fold.split(" of "))
        return "val" if int(uniform(image_id, "fold", seed) * n) == k - 1 else "train"
    return "val" if uniform(image_id, "val", seed) < val_fraction else "train"


def cap(ids: Sequence[str], labels: Sequence[str], size: int) -> list[int]:
    """Row numbers of at most `size` images: the lowest ids of each class, in turn over the classes; 0 keeps all."""
    rank: dict[str, int] = {}
    order = []
    for row in sorted(range(len(ids)), key=lambda row: ids[row]):
        rank[labels[row]] = rank.get(labels[row], -1) + 1
        order.append((rank[labels[row]], labels[row], row))
    return sorted(row for _, _, row in sorted(order)[: size or None])
