"""The learning-rate finder: it suggests a rate from the course of the loss while the learning rate grows.

Smith 2015, "Cyclical learning rates for training neural networks", arXiv 1506.01186.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter1d

from touchstone.config.schema.model import Model
from touchstone.errors import TouchstoneError
from touchstone.models.device import make_deterministic
from touchstone.training.classifier import build_classifier
from touchstone.training.optimizers import group_rates
from touchstone.training.phase import begin_phase, training_batches
from touchstone.training.setup import ScheduledPhase, TrainingRun
from touchstone.training.state import TrainState
from touchstone.training.step import train_step

LOWEST, HIGHEST = 1e-6, 10.0  # learning rates
NUM_STEPS = 200
FALL = 2.0  # sd of the loss about its smoothed course; a smaller fall does not count
WIDTH = 8.0  # steps, the sd of the Gaussian that smooths the loss
RECENT, EXPLODED = 10, 3.0  # the search ends where the mean of so many losses is so many times the lowest such mean


def find_lr(run: TrainingRun) -> tuple[float, pd.DataFrame]:
    """Return the learning rate to train with; and lr, loss and smoothed loss, a row for each step of the search.

    It trains with the run's first seed while the learning rate grows from LOWEST to HIGHEST, and drops the weights.
    Optimizer, batches and online augmentation are the run's own; its schedule, clipping and averaging are left out.
    Raises TouchstoneError where the loss never falls.
    """
    settings = search_settings(run.settings)
    scheduled = ScheduledPhase(settings.phases[0], first=0, stop=NUM_STEPS)
    search = replace(run, settings=settings, phases=(scheduled,))
    seed = settings.seeds[0]
    make_deterministic(settings.deterministic)
    torch.set_num_threads(settings.num_threads)
    classifier, state = build_classifier(search, seed), TrainState()
    phase = begin_phase(search, scheduled, classifier, state)
    classifier.train()
    torch.manual_seed(seed)
    batches = training_batches(search, scheduled, run.data, seed=seed, start=0)

    losses: list[float] = []
    rates, lowest, device = np.geomspace(LOWEST, HIGHEST, NUM_STEPS), math.inf, classifier.device
    for rate, (inputs, labels) in zip(rates.tolist(), batches, strict=True):
        for group, group_rate in zip(phase.optimizer.param_groups, group_rates(phase.optimizer, rate), strict=True):
            group["lr"] = group_rate
        batch = inputs.to(device), labels.to(device)
        outputs = train_step(phase, state, batch, backward=torch.Tensor.backward, update=phase.optimizer.step)
        state.step += 1
        losses.append(float(outputs["loss"]))
        recent = float(np.mean(losses[-RECENT:]))
        lowest = min(lowest, recent)
        if not recent <= EXPLODED * lowest:
            losses.pop()
            break
    lr, loss = rates[: len(losses)], np.array(losses)
    suggestion, smoothed = suggest(lr, loss, title=run.title)
    return suggestion, pd.DataFrame({"lr": lr, "loss": loss, "smoothed": smoothed}).round(9)


def search_settings(settings: Model) -> Model:
    """Return the settings of a search: the model's without its schedule, clipping, averaging and early stopping."""
    phase = settings.phases[0].model_copy(
        update={"lr": LOWEST, "schedule": "constant", "warmup_epochs": 0.0, "num_steps": NUM_STEPS, "epochs": 0}
        | {"accumulate": 1, "clip_norm": 0.0, "clip_value": 0.0}
    )
    return settings.model_copy(update={"phases": (phase,), "ema_decay": 0.0, "swa_share": 0.0, "patience": 0})


def suggest(lr: np.ndarray, loss: np.ndarray, *, title: str = "") -> tuple[float, np.ndarray]:
    """Return the rate at which the smoothed loss falls most steeply over log(rate), to two digits, and that loss.

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
