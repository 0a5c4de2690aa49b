"""Random numbers as pure functions of (seed, purpose, ...). There is no global state that resuming could lose."""

import hashlib

import numpy as np


def derive(seed: int, *purpose: str | int) -> int:
    """Return a seed below 2**63 for one purpose, such as derive(0, "order", 3)."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def replicate_seed(seed: int, number: int) -> int:
    """Return the seed of a replicate of what `seed` stands for; the first one has `seed` itself."""
    return derive(seed, "replicate", number) % 2**31 if number else seed


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a random generator for one purpose, such as generator(0, "order", 3)."""
    return np.random.Generator(np.random.Philox(derive(seed, *purpose)))


def substream(number: float) -> np.random.Generator:
    """Return a random generator for what one drawn number in [0, 1) stands for, such as all choices for an image."""
    return np.random.Generator(np.random.Philox(key=int(number * 2**53)))
