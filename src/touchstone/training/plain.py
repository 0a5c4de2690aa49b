"""The engine `torch`: a plain loop."""

import os
from collections.abc import Callable, Iterable

import torch
from torch.utils import deterministic

from touchstone.config.sections import Machine
from touchstone.training.keeper import Keeper
from touchstone.training.learner import Batch, Learner

OnStep = Callable[[int], None]


def fit(
    learner: Learner, batches: Iterable[Batch], keeper: Keeper, *, machine: Machine, on_step: OnStep | None = None
) -> None:
    """Run the learner over what is left of a stream, once; `on_step` is told each step that is done."""
    device = learner.device
    keeper.begin(learner)
    for inputs, labels in batches:
        keeper.before(learner)
        batch = inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        found = learner.learn(batch, backward=torch.Tensor.backward, update=learner.optimizer.step)
        keeper.after(learner, found)
        if on_step is not None:
            on_step(keeper.progress.step)
        if keeper.is_over:
            break
    keeper.end()


def make_deterministic(on: bool) -> None:
    """Kernels that give the same bytes again, or those that are quickest here."""
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # that of cuBLAS is not, otherwise
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.benchmark = not on
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a debugging aid that costs time
