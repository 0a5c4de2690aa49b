"""Random numbers as pure functions of (seed, purpose, ...): no global state, so resuming changes nothing."""

import hashlib

import numpy as np


def derive(seed: int, *purpose: str | int) -> int:
    """A seed below 2**63 for one purpose, such as derive(0, "order", 3)."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator for one purpose."""
    return np.random.Generator(np.random.Philox(derive(seed, *purpose)))
