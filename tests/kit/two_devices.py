"""A fit on two devices, here processes on the CPU, one of which may die."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing

from touchstone.generators.fit import FitCallback, Fitted
from touchstone.training.shard import NUMBER, RANK


def on_two(fit: Callable[..., Fitted], folder: Path, killed_at: int = 0, **settings: Any) -> list[dict[str, Any]]:
    """Fit in two processes, by `fit(folder, ...)`, and return the weights and the history that each has in the end.

    killed_at: the step before which the second process dies, or 0.
    """
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(_part, args=(port, fit, folder, settings, killed_at), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _part(
    rank: int, port: int, fit: Callable[..., Fitted], folder: Path, settings: dict[str, Any], killed_at: int
) -> None:
    os.environ |= {RANK: str(rank), NUMBER: "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    start = FitCallback.before_step

    def dying(self: FitCallback) -> None:
        if rank == 1 and self.state.step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        start(self)

    if killed_at:
        FitCallback.before_step = dying  # type: ignore[method-assign]
    done = fit(folder, save_seconds=0.0 if killed_at else 60.0, devices=2, **settings)
    torch.save({"weights": done.weights, "history": done.history.to_dict("list")}, folder / f"{rank}.pt")


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two processes ended with the same bytes."""
    same = all(torch.equal(value, other["weights"][name]) for name, value in one["weights"].items())
    return same and str(one["history"]) == str(other["history"])  # as text, since NaN is not NaN
