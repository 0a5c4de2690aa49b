"""The learning-rate finder: the loss while the learning rate grows, and the rate that this suggests.

Smith 2015, "Cyclical learning rates for training neural networks", arXiv 1506.01186.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter1d

from touchstone.errors import TouchstoneError
from touchstone.training.learner import Batch, Learner
from touchstone.training.plain import make_deterministic
from touchstone.training.seed import enter, new_learner, stream
from touchstone.training.task import Task

LOWEST, HIGHEST = 1e-6, 10.0  # learning rates
NUM_STEPS = 200
FALL = 2.0  # the smoothed loss falls by so many sd of the loss about it, at least
WIDTH = 8.0  # steps, the sd of the Gaussian that smooths the loss
RECENT, EXPLODED = 10, 3.0  # the search ends where the mean of so many losses is so many times the lowest such mean


@dataclass(frozen=True)
class Found:
    """curve: lr, loss, smoothed; a row a step. suggestion: a learning rate."""

    curve: pd.DataFrame
    suggestion: float


def find_lr(task: Task) -> Found:
    """Train with the task's first seed while the learning rate grows from LOWEST to HIGHEST; the weights are dropped.

    Optimizer, batches and online augmentation are the task's; its schedule, clipping and averaging take no part.
    Raises TouchstoneError where the loss never falls.
    """
    settings = task.settings.model_copy(
        update={"lr": LOWEST, "schedule": "constant", "warmup_epochs": 0.0, "num_steps": NUM_STEPS, "epochs": 0}
        | {"ema_decay": 0.0, "swa_share": 0.0, "accumulate": 1, "clip_norm": 0.0, "clip_value": 0.0}
    )
    span = replace(task.spans[0], phase=settings.phase(0), first=0, stop=NUM_STEPS)
    search = replace(task, settings=settings, spans=(span,))
    seed = settings.seeds[0]
    make_deterministic(settings.deterministic)
    torch.set_num_threads(settings.num_threads)
    learner = new_learner(search, seed)
    enter(search, span, learner, step=0)
    learner.classifier.train()
    torch.manual_seed(seed)
    curve = pd.DataFrame(_rows(learner, stream(search, span, task.data, seed=seed)), columns=["lr", "loss"])
    lr, loss = curve["lr"].to_numpy(float), curve["loss"].to_numpy(float)
    suggestion, smoothed = suggest(lr, loss, title=task.title)
    return Found(curve.assign(smoothed=smoothed).round(9), suggestion)


def _rows(learner: Learner, batches: Iterable[Batch]) -> Iterator[dict[str, float]]:
    losses: list[float] = []
    lowest = math.inf
    for lr, (inputs, labels) in zip(np.geomspace(LOWEST, HIGHEST, NUM_STEPS).tolist(), batches, strict=True):
        for group in learner.optimizer.param_groups:
            group["lr"] = lr
        batch = inputs.to(learner.device), labels.to(learner.device)
        found = learner.learn(batch, backward=torch.Tensor.backward, update=learner.optimizer.step)
        losses.append(float(found["loss"]))
        recent = float(np.mean(losses[-RECENT:]))
        lowest = min(lowest, recent)
        if not recent <= EXPLODED * lowest:
            return
        yield {"lr": lr, "loss": losses[-1]}


def suggest(lr: np.ndarray, loss: np.ndarray, *, title: str = "") -> tuple[float, np.ndarray]:
    """The rate at which the smoothed loss falls most steeply over the logarithm of the rate, two digits of it; and the
    smoothed loss.

    lr, loss: float (n,), in the order of the search. Raises TouchstoneError where the loss does not fall.
    """
    if len(loss) > 2:
        smoothed = gaussian_filter1d(loss, WIDTH, mode="nearest")
        lowest = int(np.argmin(smoothed))
        fall, noise = smoothed[0] - smoothed[lowest], np.std((loss - smoothed)[: lowest + 1])
        if lowest >= 2 and fall > FALL * noise:
            slope = np.gradient(smoothed[: lowest + 1], np.log(lr[: lowest + 1]))
            return float(f"{lr[int(np.argmin(slope))]:.1e}"), smoothed
    raise TouchstoneError(
        f"{title}: the learning-rate finder saw no loss fall between {LOWEST:g} and {HIGHEST:g}; set lr to a number"
    )
