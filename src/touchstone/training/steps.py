"""What goes on beside the steps of any training: their seeds, the progress bar, the resume state. Of no engine."""

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from touchstone.seeds import derive

REFRESH_STEPS = 20  # of the progress bar
AHEAD = 64  # seeds of steps that are derived at once: between two steps a hash takes 30 times as long, its code is cold


class Trainee(Protocol):
    """What is trained: it can say all it knows, and take it up again."""

    @property
    def device(self) -> torch.device: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass
class Progress:
    """All there is to a training besides the module: plain values and tensors. step: steps done."""

    step: int = 0


class Steps:
    """Counts and seeds the steps of a stream that an engine runs through once: `begin`, then `before` and `after` each
    step until `is_over` or the stream's end, `end`.

    state_file: where the resume state lies, written every `save_seconds`: the interval does not change the bytes.
    """

    progress: Progress
    phase = 0  # of several, counted from 1; shown by the bar
    is_over = False  # whether what is left of the stream is to be left

    def __init__(self, *, seed: int, num_steps: int, state_file: Path, save_seconds: float, title: str) -> None:
        self.seed, self.num_steps = seed, num_steps
        self.state_file, self.save_seconds, self.title = state_file, save_seconds, title

    def after_step(self, trainee: Any, outputs: dict[str, torch.Tensor]) -> None:
        """What a kind of training does after a step; `progress.step` is its number."""
        raise NotImplementedError

    def restore(self, trainee: Trainee) -> None:
        """Go on where an earlier process was stopped, if one was."""
        if not self.state_file.exists():
            return
        state = torch.load(self.state_file, weights_only=True, map_location="cpu")
        trainee.restore(state["module"])
        self.progress = type(self.progress)(**state["progress"])
        print(f"{self.title}: resumed at step {self.progress.step} of {self.num_steps}")

    def begin(self, trainee: Trainee) -> None:
        self.saved = time.monotonic()
        self.bar = tqdm(
            total=self.num_steps,
            initial=self.progress.step,
            desc=f"{self.title}, phase {self.phase}" if self.phase else self.title,
            unit="step",
            disable=None,
            mininterval=0.5,
        )

    def before(self, trainee: Trainee) -> None:
        block, place = divmod(self.progress.step, AHEAD)
        seed = _step_seeds(self.seed, block)[place]  # draws after a resume are what they would have been
        if trainee.device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # 100 times cheaper than torch.manual_seed
        else:
            torch.manual_seed(seed)

    def after(self, trainee: Trainee, outputs: dict[str, torch.Tensor]) -> None:
        self.progress.step += 1
        self.after_step(trainee, outputs)
        if self.is_at_rest(trainee) and time.monotonic() - self.saved > self.save_seconds:
            self.save(trainee)
        if self.progress.step % REFRESH_STEPS == 0 or self.progress.step == self.num_steps:
            self.bar.update(self.progress.step - self.bar.n)

    def end(self) -> None:
        self.bar.close()

    def is_at_rest(self, trainee: Any) -> bool:
        """Whether the trainee's state is whole between two steps."""
        return True

    def save(self, trainee: Trainee) -> None:
        """Write the resume state so that a kill at any moment leaves the old one or the new one."""
        new = self.state_file.with_suffix(".new")
        with open(new, "wb") as file:
            torch.save({"module": trainee.state(), "progress": vars(self.progress)}, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.state_file)
        self.saved = time.monotonic()


@lru_cache(maxsize=2)
def _step_seeds(seed: int, block: int) -> list[int]:
    """Those of the steps from `block` x AHEAD on."""
    return [derive(seed, "step", block * AHEAD + i) for i in range(AHEAD)]
