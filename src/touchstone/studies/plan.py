"""Before training: the gain that a study of this design can find, from the spread of an earlier one."""

import json
import math
from pathlib import Path

from touchstone.config.settings import Settings
from touchstone.errors import TouchstoneError, one_line
from touchstone.evaluation.design import Spread, smallest_gain, spread_of
from touchstone.report.table import Table, grid
from touchstone.report.words import count, percent

SEEDS, TIMES = (2, 3, 5, 10), (1, 2, 5)


def pilot_spread(metrics: Path, settings: Settings) -> Spread:
    """Return the spread of the runs on arms in a metrics.json. Raises TouchstoneError without any."""
    if not metrics.is_file():
        raise TouchstoneError(f"{metrics}: no such file; give --seed-sd and --image-sd, or the metrics.json of a pilot")
    spread = stored_spread(metrics, settings)
    if spread is None:
        raise TouchstoneError(f"{metrics}: it has no gain with its spread; run `touchstone repro` first")
    return spread


def stored_spread(metrics: Path, settings: Settings) -> Spread | None:
    """Return the spread of the runs on arms in a metrics.json; None where no gain has one.

    Raises TouchstoneError where the file is no metrics.json.
    """
    try:
        rows = json.loads(metrics.read_text(encoding="utf-8"))
        return spread_of(row for name, row in rows.items() if name not in settings.ensembles)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise TouchstoneError(f"{metrics}: not a metrics.json ({one_line(error)}); run `touchstone repro`") from error


def plan(settings: Settings, spread: Spread, *, num_images: int) -> str:
    """The smallest gains by numbers of replicates and of test images, as a table in Markdown with its premises."""
    arms, models, here = len(settings.arms) - 1, len(settings.trained), settings.train.replicates
    if arms < 1:
        raise TouchstoneError("arms: there is only the baseline, so nothing will be compared")
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
        f"{'This assumes that replicates share no training image. ' if settings.train.vary == 'all' else ''}"
        "If a row does not fall, add replicates: few replicates estimate their own spread poorly."
    )
