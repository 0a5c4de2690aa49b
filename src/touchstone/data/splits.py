"""The splits: exact shares of each class, by hashes, so that adding images moves few old ones.

Images are ordered by a hash of their id, or of their group, which stays together. The first ones of a class become test
images, and of the rest, in another order, validation images. When images are added, only those at the border move.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

from touchstone.data.labels import names

LABELLED = ("train", "val", "test")
UNLABELLED = "unlabelled"
SPLITS = (*LABELLED, UNLABELLED)


def uniform(image_id: str, purpose: str, seed: int) -> float:
    """Return a number in [0, 1) that depends on the arguments alone."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(
    keys: Sequence[str],
    labels: Sequence[str],
    official: Sequence[str],
    *,
    has_test: bool,
    test_fraction: float,
    val_fraction: float,
    fold: str,
    seed: int,
) -> list[str]:
    """Return the split of each image, one of SPLITS.

    keys: the id of an image or the name of its group, whose images all come into one split. labels: the classes, joined
    by `|`. official: the source's own split, or "". It is kept, except that validation images are drawn from the
    training images, by `val_fraction` or as fold "k of n". Without `has_test`, test images are drawn first.
    """
    out = ["train" if split in ("", "train") else split for split in official]
    rows = [row for row, split in enumerate(out) if split == "train"]
    strata = _strata([keys[row] for row in rows], [labels[row] for row in rows])
    for split, fraction in (("test", 0.0 if has_test else test_fraction), ("val", 0.0 if fold else val_fraction)):
        drawn = {key for sizes in strata for key in _first(_ordered(sizes, split, seed), fraction)}
        strata = [{key: size for key, size in sizes.items() if key not in drawn} for sizes in strata]
        for row in rows:
            out[row] = split if keys[row] in drawn else out[row]
    if fold:
        k, n = (int(part) for part in fold.split(" of "))
        drawn = {key for sizes in strata for key in _fold(_ordered(sizes, "fold", seed), k, n)}
        for row in rows:
            out[row] = "val" if keys[row] in drawn else out[row]
    return out


def _strata(keys: Sequence[str], labels: Sequence[str]) -> list[dict[str, int]]:
    """Return key -> its number of images, for each class; a key belongs to its most frequent class.

    With several labels an image counts for the rarest of its classes, so that rare ones are shared out evenly.
    """
    counts = Counter(name for label in labels for name in names(label))
    stratum: dict[str, Counter[str]] = {}
    for key, label in zip(keys, labels, strict=True):
        rarest = min(names(label), key=lambda name: (counts[name], name), default="")
        stratum.setdefault(key, Counter())[rarest] += 1
    out: dict[str, dict[str, int]] = {}
    for key, classes in stratum.items():
        most = min(classes, key=lambda name: (-classes[name], name))
        out.setdefault(most, {})[key] = classes.total()
    return [out[name] for name in sorted(out)]


def _ordered(sizes: dict[str, int], purpose: str, seed: int) -> list[tuple[str, int]]:
    return sorted(sizes.items(), key=lambda item: (uniform(item[0], purpose, seed), item[0]))


def _first(ordered: list[tuple[str, int]], fraction: float) -> list[str]:
    """Return the first keys, with as close to this share of the images as can be; at least one key, and not all.

    A share of 0 or 1 is exact, and a single key is left where it is.
    """
    if fraction in (0, 1):
        return [key for key, _ in ordered] if fraction else []
    ends = list(accumulate((size for _, size in ordered), initial=0))
    nearest = min(range(len(ends)), key=lambda k: (abs(ends[k] - fraction * ends[-1]), k))
    return [key for key, _ in ordered[: min(max(nearest, 1), len(ordered) - 1)]]


def _fold(ordered: list[tuple[str, int]], k: int, n: int) -> list[str]:
    """Return the keys of fold k of n: the order cut into n pieces of about as many images."""
    total, before, out = sum(size for _, size in ordered), 0, []
    for key, size in ordered:
        if int((before + size / 2) / total * n) == k - 1:
            out.append(key)
        before += size
    return out
