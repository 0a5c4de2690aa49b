"""One net on several devices: a process for each, which computes its rows of every batch and takes the same steps.

The processes are the script of the stage itself, started once more for each device, with --seed where it has seeds.
They see the same stream of batches. The loss of a classifier is that of the whole batch, whose logits they gather, so
it is that of one device for every loss and every weighting, and each process adds the gradients of its own rows. Sums
in another order give other last bits than one device; the same number of devices gives the same ones.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from touchstone.errors import TouchstoneError
from touchstone.stage import SEED

RANK, NUMBER = "LOCAL_RANK", "TOUCHSTONE_DEVICES"  # the first is Lightning's: it then starts no processes of its own
LOOK_SECONDS, END_SECONDS = 0.2, 1.0


@dataclass(frozen=True)
class Shard:
    """The part of each batch that this process computes: of `number` equal parts, that of its `rank`."""

    rank: int
    number: int

    def rows(self, count: int) -> slice:
        """Return the rows of a batch of `count` images that are its own; `count` is a multiple of `number`."""
        size = count // self.number
        return slice(self.rank * size, (self.rank + 1) * size)

    def reseed(self) -> None:
        """Let this process draw random numbers of its own from now on, as each drops other activations."""
        torch.manual_seed(torch.initial_seed() + self.rank)

    def gathered(self, own: torch.Tensor) -> torch.Tensor:
        """Return the rows of all processes (B, ...), given one's own (B / number, ...), which keep their gradients."""
        parts = [torch.empty_like(own) for _ in range(self.number)]
        distributed.all_gather(parts, own.detach().contiguous())
        parts[self.rank] = own
        return torch.cat(parts)

    def mean(self, own: torch.Tensor) -> torch.Tensor:
        """Return the mean of a value over all processes, whose parts of a batch are equal."""
        total = own.detach().clone()
        distributed.all_reduce(total)
        return total / self.number

    def agreed(self, value: bool, device: torch.device) -> bool:
        """Return whether all processes say so."""
        flag = torch.tensor(int(value), device=device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MIN)
        return bool(flag)

    @staticmethod
    def check_norms(net: nn.Module, *, title: str) -> None:
        """Raise TouchstoneError where batch norms over all devices would not be those of the net, but plain ones."""
        for norm in net.modules():
            if isinstance(norm, _BatchNorm) and type(norm).forward is not _BatchNorm.forward:
                raise TouchstoneError(
                    f"{title}: sync_batch_norm: this net has batch norms of its own ({type(norm).__name__}), which "
                    "cannot be taken over all devices; set false"
                )

    def share_buffers(self, *modules: nn.Module) -> None:
        """Give all processes the buffers of the first one, such as its statistics for batch norms."""
        for module in modules:
            for buffer in module.buffers():
                distributed.broadcast(buffer, src=0)


def shard_of_process() -> Shard | None:
    """Return the part of the process that `train_on_devices` has started; None in any other."""
    if NUMBER not in os.environ:
        return None
    shard = Shard(int(os.environ[RANK]), int(os.environ[NUMBER]))
    if shard.rank < torch.cuda.device_count():  # fewer where CPU processes train on a machine with GPUs
        torch.cuda.set_device(shard.rank)
    return shard


def train_on_devices(number: int, *, title: str, seed: int | None = None) -> None:
    """Run this stage's script, for one seed or without any, in `number` processes.

    The first one leaves what it has trained in the store of the stage. Raises TouchstoneError where a process fails;
    the others are ended.
    """
    command = [sys.executable, *(each for each in sys.argv if not each.startswith(SEED))]
    command += [] if seed is None else [f"{SEED}{seed}"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {NUMBER: str(number), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
    shared |= {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # DDP warns that no parameter is unused
    processes = [
        subprocess.Popen(
            command,
            env=shared | {RANK: str(rank)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if rank else None,
        )
        for rank in range(number)
    ]
    try:
        _wait(processes, title)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes: Sequence["subprocess.Popen[bytes]"], title: str) -> None:
    """Wait until all have ended, or one has failed."""
    while any(process.poll() is None for process in processes):
        if any(process.returncode for process in processes):
            time.sleep(END_SECONDS)  # where all fail for one reason, the first process says so too
            break
        time.sleep(LOOK_SECONDS)
    if processes[0].poll() == 1:
        sys.exit(1)  # it has said why, in a line of its own
    for rank, process in enumerate(processes):
        if process.poll():
            ended = f"process {rank + 1} of {len(processes)} ended with {process.returncode}"
            raise TouchstoneError(f"{title}: {ended}; the same command goes on from the last resume state")
