"""How often verdicts are right: simulated studies, of which the truth is known.

    python benchmarks/verdicts.py --studies 1000 --jobs 2

Each study has a baseline and five arms of accuracy .8 on average, with rates that differ by SD from seed to seed;
items are hard or easy to all runs alike. coverage: the share of 95 % intervals that hold the true gain of 2 points of a
sixth arm, width: their mean half-width in points. false: the share of studies without any effect in which at least one
of the five arms helps or hurts, as Holm's rule and the interval say together; alone: as the intervals alone would. In
the rows of one unsteady arm, the sixth and one of the five vary by UNSTEADY from seed to seed, the others and the
baseline by SD. The table is in docs/evidence.md; some 20 minutes on two cores, half of them for the rows of 10 seeds.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
from scipy import stats

from touchstone.evaluation.compare import conclude, holm, paired_bootstrap

RATE, GAIN, SD, SHARED, NUM_ARMS, ALPHA = 0.8, 0.02, 0.008, 0.8, 5, 0.05
SEEDS, ITEMS = (3, 5, 10), (200, 1000, 10000)
UNSTEADY, UNSTEADY_CELLS = 0.03, ((3, 1000), (3, 10000), (5, 10000))


def study(
    number: int, *, num_seeds: int, num_items: int, num_resamples: int, odd_sd: float = SD
) -> tuple[bool, float, bool, bool]:
    """Whether the interval holds the true gain, its half-width, whether there is a false verdict, and without Holm."""
    rng = np.random.default_rng([number, num_seeds, num_items])
    hardness = np.sqrt(SHARED) * rng.normal(size=num_items)

    def answers(rate: float, sd: float = SD) -> np.ndarray:
        limit = stats.norm.ppf(rate + rng.normal(0, sd, (num_seeds, 1)))
        return hardness + np.sqrt(1 - SHARED) * rng.normal(size=(num_seeds, num_items)) < limit

    baseline = answers(RATE)
    paired = [
        paired_bootstrap(
            answers(RATE + gain, odd_sd if i < 2 else SD), baseline, num_resamples=num_resamples, seed=number
        )
        for i, gain in enumerate((GAIN, *[0] * NUM_ARMS))
    ]
    better = conclude(paired[0], confidence=1 - ALPHA, pool=[paired[0], *paired[2:]])
    others = [conclude(arm, confidence=1 - ALPHA, pool=paired[1:]) for arm in paired[1:]]
    told = [arm.word != "inconclusive" for arm in others]
    together = holm([arm.p_value for arm in others])
    false = any(word and p <= ALPHA for word, p in zip(told, together, strict=True))
    return better.low <= GAIN <= better.high, (better.high - better.low) / 2, false, any(told)


def cell(
    num_seeds: int, num_items: int, *, studies: int, num_resamples: int, jobs: int, odd_sd: float = SD
) -> list[float]:
    """coverage, half-width in points, false verdicts, those of intervals alone."""
    one = partial(study, num_seeds=num_seeds, num_items=num_items, num_resamples=num_resamples, odd_sd=odd_sd)
    if jobs == 1:
        found = np.array([one(number) for number in range(studies)], float)
    else:
        with ProcessPoolExecutor(jobs) as pool:
            found = np.array(list(pool.map(one, range(studies), chunksize=10)), float)
    return (found.mean(0) * [1, 100, 1, 1]).tolist()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    print("| seeds | test images | coverage | half-width, points | false, of 5 arms | alone |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    cells = [(num_seeds, num_items, SD) for num_seeds in SEEDS for num_items in ITEMS]
    cells += [(num_seeds, num_items, UNSTEADY) for num_seeds, num_items in UNSTEADY_CELLS]
    for num_seeds, num_items, odd_sd in cells:
        how = {"studies": arguments.studies, "num_resamples": arguments.resamples, "jobs": arguments.jobs}
        coverage, width, false, alone = cell(num_seeds, num_items, odd_sd=odd_sd, **how)
        name = f"{num_seeds}, one arm unsteady" if odd_sd != SD else f"{num_seeds}"
        print(f"| {name} | {num_items:,} | {coverage:.1%} | {width:.2f} | {false:.1%} | {alone:.1%} |", flush=True)


if __name__ == "__main__":
    main()
