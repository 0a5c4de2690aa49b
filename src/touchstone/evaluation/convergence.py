"""Whether a run had converged or overfitted, by its validation loss over the steps of all its seeds.

The logarithm of each seed's loss is averaged over windows of a tenth of its validations. Two changes are measured in
each seed: the rise from the lowest window to the last one, and the change from the window before the last one to the
last. The lowest window lies in the first LATE of the training and is found on the other seeds, because a seed's own
lowest loss is partly luck. A change counts where it is at least LEAST_RISE or LEAST_FALL and its t test over the seeds,
with the variance pooled over the arms of a model (`compare_paired`), is significant; one seed that wobbles is not.

One seed has no spread. Its noise is that of its validations about a straight line through the second half of the
curve. A window then counts as no steadier than one validation, because the noise of neighbours may be alike, and the
p-value of the rise is multiplied by the number of windows among which the lowest was found (Bonferroni).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError
from touchstone.evaluation.compare import Paired, compare_paired

OVERFITTED, STILL_FALLING, SETTLED = "overfitted", "still falling", "settled"
LEAST_RISE, LEAST_FALL = 0.05, 0.02  # shares of the loss; smaller changes explain no verdict
LEVEL = 0.03  # of each two-sided test: at most about one flat curve in twenty gets either word by chance
LATE = 0.8  # the share of the training after which the lowest loss is not long before the end
ALONE = 5  # the fewest validations of a single seed: about a line, three in their second half have some noise
FLOOR = 1e-3  # nats; lower losses count as this one


@dataclass(frozen=True, eq=False)
class Course:
    """The course of a run's validation loss. Changes are of the loss's logarithm, one for each seed."""

    lowest_step: int
    """The step at which the mean over the seeds is lowest, in the whole training."""
    above_lowest: float
    """By how much that mean ends above it."""
    rise: Paired
    """From the window that is lowest on the other seeds to the last."""
    change: Paired
    """From the window before the last to the last."""
    num_windows: int
    """The windows among which the lowest was found."""


def load_histories(folder: Path, runs: list[str]) -> dict[str, pd.DataFrame]:
    """Run -> seed, step, val_loss and more, from `folder/<run>/history.csv`. Raises TouchstoneError."""
    out = {}
    for name in runs:
        file = folder / name / "history.csv"
        try:
            out[name] = pd.read_csv(file)
        except (OSError, ValueError) as error:
            raise TouchstoneError(f"{file}: no readable history ({error}); run `dvc repro`") from error
    return out


def convergence(
    histories: dict[str, pd.DataFrame], settings: Settings, diverged: dict[str, dict[str, str]]
) -> dict[str, dict[str, float | str]]:
    """Run -> its entries of metrics.json: the word and its figures.

    val_lowest_step is where the mean over the seeds is lowest, val_rise by which share it ends above that, and
    val_change its change from the window before the last to the last. There are none where no seed is sound, with one
    validation, and with fewer than ALONE of a single seed. diverged: see `load_diverged`.
    """
    out: dict[str, dict[str, float | str]] = {name: {} for name in histories}
    for model in settings.trained:
        found = {name: course_of(losses(histories[name], diverged[name])) for name in settings.runs_of(model)}
        drawn = {name: course for name, course in found.items() if course is not None}
        for name, course in drawn.items():
            out[name] = {
                "convergence": word(course, list(drawn.values())),
                "val_lowest_step": course.lowest_step,
                "val_rise": round(float(np.expm1(course.above_lowest)), 5),
                "val_change": round(float(np.expm1(course.change.values.mean())), 5),
            }
    return out


def losses(history: pd.DataFrame, diverged: dict[str, str]) -> pd.DataFrame:
    """The validation losses, step x seed, of the seeds that did not diverge, at the steps that all of them reached."""
    if "val_loss" not in history:
        return pd.DataFrame()
    sound = history[~history["seed"].astype(str).isin(diverged)]
    return sound.pivot(index="step", columns="seed", values="val_loss").dropna()


def course_of(loss: pd.DataFrame) -> Course | None:
    """The course of losses (step x seed); None with too few validations to tell a change from noise."""
    num_steps, num_seeds = loss.shape
    if not num_seeds or num_steps < (ALONE if num_seeds == 1 else 2):
        return None
    logs, width = np.log(np.maximum(loss.to_numpy(), FLOOR)), max(1, num_steps // 10)
    windows = np.lib.stride_tricks.sliding_window_view(logs, width, axis=0).mean(-1)  # (windows, seeds)
    last, before = windows[-1], windows[-1 - width]
    ends = loss.index.to_numpy()[width - 1 :]
    early = windows[: max(1, int((ends <= LATE * ends[-1]).sum()))]
    others = early.sum(1, keepdims=True) - (early if num_seeds > 1 else 0)  # without the seed itself
    lowest = early[others.argmin(0), np.arange(num_seeds)]
    noise, freedom = _wobble(logs[:, 0]) if num_seeds == 1 else (0.0, 0)
    mean = windows.mean(1)
    return Course(
        lowest_step=int(loss.index[int(mean.argmin()) + (width - 1) // 2]),
        above_lowest=float(mean[-1] - mean.min()),
        rise=Paired(last - lowest, 2 * noise, freedom + 1),
        change=Paired(last - before, 2 * noise, freedom + 1),
        num_windows=len(early) if num_seeds == 1 else 1,
    )


def _wobble(logs: np.ndarray) -> tuple[float, int]:
    """The variance of validations (T,) about a straight line through the second half, and its degrees of freedom."""
    half = logs[len(logs) // 2 :]
    x = np.arange(len(half))
    residuals = half - np.polyval(np.polyfit(x, half, 1), x)
    return float((residuals**2).sum()) / (len(half) - 2), len(half) - 2


def word(course: Course, alike: list[Course]) -> str:
    """OVERFITTED, STILL_FALLING or SETTLED. alike: the courses of the model's runs.

    Variances are pooled over those with as many sound seeds, since a single seed has none.
    """
    alike = [other for other in alike if len(other.rise.values) == len(course.rise.values)]
    rise = compare_paired(course.rise, confidence=1 - LEVEL, pooled_with=[other.rise for other in alike])
    change = compare_paired(course.change, confidence=1 - LEVEL, pooled_with=[other.change for other in alike])
    if np.expm1(rise.value) >= LEAST_RISE and course.num_windows * rise.p_value < LEVEL:
        return OVERFITTED
    if -np.expm1(change.value) >= LEAST_FALL and change.p_value < LEVEL:
        return STILL_FALLING
    return SETTLED
