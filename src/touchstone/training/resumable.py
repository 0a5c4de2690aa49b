"""The frame around the steps of any training in either engine: their seeds, the progress bar, the resume state."""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from tqdm import tqdm

from touchstone.seeds import derive

REFRESH_STEPS = 20  # between updates of the progress bar
BLOCK = 64  # seeds derived at once: between two steps, outside the processor's cache, a hash takes 30 times as long

OnStep = Callable[[int], None]  # called with the number of steps done


@dataclass
class LoopState:
    """The progress of a training, in plain values and tensors; each kind of training adds fields."""

    step: int = 0  # the number of steps done


S = TypeVar("S", bound=LoopState)


class ResumableCallback(ABC, Generic[S]):
    """Counts and seeds the steps of a training, shows its progress, and writes its resume state.

    An engine calls `begin`, then `before_step` and `after_step` around each step until `should_stop` or the last batch,
    then `end`. The resume state is written to `state_file` every `save_seconds`, which changes no result. on_step:
    called after each step with the number of steps done.
    """

    def __init__(
        self,
        state: S,
        *,
        seed: int,
        num_steps: int,
        state_file: Path,
        save_seconds: float,
        title: str,
        on_step: OnStep | None = None,
    ) -> None:
        self.state, self.seed, self.num_steps, self.title = state, seed, num_steps, title
        self.state_file, self.save_seconds, self.on_step = state_file, save_seconds, on_step
        self.should_stop = False
        self.saved_at = time.monotonic()
        self.bar = tqdm(disable=True)

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device that trains."""

    @abstractmethod
    def record(self, outputs: dict[str, torch.Tensor]) -> None:
        """Do the work of this kind of training after step number `state.step`, which returned `outputs`."""

    @abstractmethod
    def checkpoint(self) -> dict[str, Any]:
        """Return what a resume needs besides `state`, as plain values and tensors."""

    def can_save(self) -> bool:
        """Whether a resume is possible from the present step."""
        return True

    def begin(self) -> None:
        self.saved_at = time.monotonic()
        self.bar = tqdm(
            total=self.num_steps,
            initial=self.state.step,
            desc=self.title,
            bar_format="{desc}: step {n_fmt} of {total_fmt}, {remaining} left{postfix} |{bar}|",  # cut off at the right
            leave=False,  # a line follows
            disable=None,
            mininterval=0.5,
        )

    def before_step(self) -> None:
        """Seed torch's generator for the step, so that a resumed training draws the same numbers."""
        block, place = divmod(self.state.step, BLOCK)
        seed = _step_seeds(self.seed, block)[place]
        if self.device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # 100 times cheaper than torch.manual_seed
        else:
            torch.manual_seed(seed)

    def after_step(self, outputs: dict[str, torch.Tensor]) -> None:
        self.state.step += 1
        self.record(outputs)
        if self.can_save() and time.monotonic() - self.saved_at > self.save_seconds:
            self.save()
        if self.state.step % REFRESH_STEPS == 0 or self.state.step == self.num_steps:
            self.bar.update(self.state.step - self.bar.n)
        if self.on_step is not None:
            self.on_step(self.state.step)

    def end(self) -> None:
        self.bar.close()

    def save(self) -> None:
        """Write the resume state; a kill at any moment leaves a whole file, the old one or the new one."""
        new = self.state_file.with_suffix(".new")
        with open(new, "wb") as file:
            torch.save({"state": vars(self.state), **self.checkpoint()}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.state_file)
        self.saved_at = time.monotonic()


def read_checkpoint(state_file: Path) -> dict[str, Any] | None:
    """Return the content of a file of `ResumableCallback.save`, on the CPU, or None where there is no such file."""
    return torch.load(state_file, weights_only=True, map_location="cpu") if state_file.exists() else None


@lru_cache(maxsize=2)
def _step_seeds(seed: int, block: int) -> list[int]:
    return [derive(seed, "step", block * BLOCK + i) for i in range(BLOCK)]
