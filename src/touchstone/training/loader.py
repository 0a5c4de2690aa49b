"""The loader of a stream of batches: in this process, in others, or on the device that trains."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader

from touchstone.config.schema.machine import Machine
from touchstone.data.batches import Batches
from touchstone.data.resident import ResidentBatches, fits
from touchstone.errors import TouchstoneError
from touchstone.models.device import device

DEVICES = ("cuda",)  # that keep images in a memory of their own


def loader_of(batches: Batches, machine: Machine) -> Iterable[Any]:
    """Return the batches in the stream's order, each whole: the loader has no sampler and does not collate.

    With `machine.resident` they are made on the device, where it can; a CPU would gain nothing by it.
    """
    where = torch.device(device(machine.accelerator))
    if machine.resident and where.type in DEVICES and fits(batches, where):
        return ResidentBatches(batches, where)
    pinned = where.type == "cuda"  # without it no copy to the device overlaps with its work
    return Loader(batches, batch_size=None, num_workers=machine.num_workers, pin_memory=pinned)


class Loader(DataLoader[Any]):
    """A DataLoader that raises the error of a worker as the worker's own, in one line."""

    def __iter__(self) -> Any:
        try:
            yield from super().__iter__()
        except TouchstoneError as error:
            last = str(error).strip().splitlines()[-1]  # a worker's traceback comes before it
            raise TouchstoneError(last.removeprefix(f"{TouchstoneError.__module__}.TouchstoneError: ")) from error
