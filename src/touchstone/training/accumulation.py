"""Accumulated gradients: which batches of a phase make an update together. A function of the step alone."""

import numpy as np

from touchstone.config.model import Phase


def blocks(phase: Phase, *, num_steps: int, batch_size: int, num_images: int) -> np.ndarray:
    """int64 (num_steps,): at the last batch of each update how many batches it is made from, 0 at the others.

    The epoch in which a block starts says how many; the phase's last block may be shorter.
    """
    sizes = np.zeros(num_steps, np.int64)
    start = 0
    while start < num_steps:
        wanted = phase.batches_an_update(start * batch_size // num_images)
        stop = min(start + wanted, num_steps)
        sizes[stop - 1] = stop - start
        start = stop
    return sizes
