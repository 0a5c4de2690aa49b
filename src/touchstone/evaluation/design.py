"""The gain that a study of some design can find, from the spread of another one."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.config.settings import Settings
from touchstone.evaluation.compare import Paired, compare_paired, detectable
from touchstone.evaluation.results import control_arm


@dataclass(frozen=True)
class Spread:
    """Standard deviations of gains, as shares of 1."""

    seeds: float
    """The standard deviation of a gain from seed to seed."""
    images: float
    """Standard deviation from test image to test image of a gain averaged over the replicates."""


def spread_of(rows: Iterable[Mapping[str, Any]]) -> Spread | None:
    """The spread of the gains of some runs, its root mean square; None where no row has one.

    rows: entries of metrics.json.
    """
    runs = [row for row in rows if "gain_sd_seeds" in row]
    if not runs:
        return None
    return Spread(*(math.sqrt(np.mean([row[key] ** 2 for row in runs])) for key in ("gain_sd_seeds", "gain_sd_images")))


def smallest_gain(settings: Settings, spread: Spread, *, num_seeds: int, num_images: int) -> float:
    """The gain found with 80 % power by the arms, models and confidence of these settings; NaN for no verdict."""
    arms, models = len(settings.arms) - 1, len(settings.trained)
    deviations = np.resize([1.0, -1.0], num_seeds) - (0 if num_seeds % 2 == 0 else 1 / num_seeds)
    scale = spread.seeds / deviations.std(ddof=1) if num_seeds > 1 else 0.0
    pilot = [Paired(scale * deviations, spread.images**2 / num_images, num_images) for _ in range(arms)]
    family = [compare_paired(one, confidence=settings.compare.confidence, pooled_with=pilot) for one in pilot]
    if any(one.too_few for one in family):
        return math.nan
    controls = arms - 1 if control_arm(settings) else 0
    return detectable(family * models, tests=(arms + controls) * models)
