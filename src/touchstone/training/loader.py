"""The loader of a stream of batches: in this process, in others, or on the device that trains."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader

from touchstone.config.schema.machine import Machine
from touchstone.data.batches import Batches
from touchstone.data.resident import ResidentBatches, fits
from touchstone.models.device import device


def loader_of(batches: Batches, machine: Machine) -> Iterable[Any]:
    """Return the batches in the stream's order, each whole: the loader has no sampler and does not collate.

    With `machine.resident` they are made on the device, where it can.
    """
    where = torch.device(device(machine.accelerator))
    if machine.resident and fits(batches, where):
        return ResidentBatches(batches, where)
    return DataLoader(batches, batch_size=None, num_workers=machine.num_workers)
