"""Divides a large set into files that begin at images of its own choice, so that adding some changes few of them.

A set of up to SHARD_BYTES has one file. A larger one begins a new file, of SHARD_BYTES on average, at images that a
hash of their own ids chooses (content-defined chunking; Muthitacharoen, Chen & Mazieres 2001, "A low-bandwidth network
file system"). Images that are added lie between others by name, often side by side, so all files but those around them
keep their bytes, and DVC sends only these again.
"""

from collections.abc import Sequence

import numpy as np

from touchstone.seeds import derive

SHARD_BYTES = 1 << 30
RANGE = 2**32
LEAST, MOST = 0.5, 2  # bytes of a file, of SHARD_BYTES; the last one, and one that a large image ends, may differ


def first_of_shards(ids: Sequence[str], num_bytes: np.ndarray, *, shard_bytes: int = SHARD_BYTES) -> list[int]:
    """Return the places at which files begin, 0 among them, for images in the order in which they are stored.

    num_bytes: of each image, int64 (N,).
    """
    if num_bytes.sum() <= shard_bytes:
        return [0]
    least, most = LEAST * shard_bytes, MOST * shard_bytes
    firsts, held = [0], 0
    for place, (name, size) in enumerate(zip(ids, num_bytes.tolist(), strict=True)):
        chosen = held >= least and _uniform(name) * (shard_bytes - least) < size
        if held and (chosen or held + size > most):
            firsts.append(place)
            held = 0
        held += size
    return firsts


def _uniform(name: str) -> float:
    """Return a number in [0, 1) that depends on the name alone."""
    return (derive(0, "shard", name) % RANGE) / RANGE
