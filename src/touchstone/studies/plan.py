"""Before training: the gain that a study of this design can find, from the spread of an earlier one."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError
from touchstone.evaluation.compare import Paired, compare_paired, detectable
from touchstone.evaluation.results import copy_arm
from touchstone.report.table import Table, grid
from touchstone.report.words import count, percent

SEEDS, TIMES = (2, 3, 5, 10), (1, 2, 5)


@dataclass(frozen=True)
class Spread:
    """How gains vary, as shares of 1."""

    seeds: float
    """The standard deviation of a gain from seed to seed."""
    images: float
    """That of a gain, averaged over the replicates, from test image to test image."""


def spread_of(metrics: Path, settings: Settings) -> Spread:
    """The spread of the runs on arms in a metrics.json, its root mean square. Raises TouchstoneError without any."""
    if not metrics.is_file():
        raise TouchstoneError(f"{metrics}: no such file; give --seed-sd and --image-sd, or the metrics.json of a pilot")
    rows = json.loads(metrics.read_text(encoding="utf-8"))
    runs = [row for name, row in rows.items() if name not in settings.ensembles and "gain_sd_seeds" in row]
    if not runs:
        raise TouchstoneError(f"{metrics}: no gain with its spread is in it; run `touchstone repro evaluate` first")
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
    controls = arms - 1 if copy_arm(settings) else 0
    return detectable(family * models, tests=(arms + controls) * models)


def plan(settings: Settings, spread: Spread, *, num_images: int) -> str:
    """The smallest gains by numbers of replicates and of test images, as a table in Markdown with its premises."""
    arms, models, here = len(settings.arms) - 1, len(settings.trained), settings.train.replicates
    if arms < 1:
        raise TouchstoneError("arms: only the baseline is there; nothing will be compared")
    sizes = [num_images * times for times in TIMES]
    rows = []
    for number in sorted({*SEEDS, here}):
        gains = [smallest_gain(settings, spread, num_seeds=number, num_images=size) for size in sizes]
        cells = ["no verdict" if math.isnan(gain) else percent(gain) for gain in gains]
        rows.append([f"{number}, as in params.yaml" if number == here else str(number), *cells])
    table = Table("l" + "r" * len(sizes), ["replicates", *(f"{size:,} test images" for size in sizes)], rows)
    compared = f"{count(arms, 'arm')} against the baseline, {count(models, 'model')}"
    between, among = percent(spread.seeds), percent(spread.images, 0)
    return (
        f"{compared}; gains vary by {between} points between replicates and by {among} points between test images.\n"
        f"The smallest true gain, in points, found with 80 % power:\n\n{grid(table)}\n\n"
        f"{'Replicates are taken to share no training image. ' if settings.train.vary == 'all' else ''}"
        "Where a row does not fall, replicates are what is missing: few of them tell their own spread poorly."
    )
